"""`accelerate launch -m recipes.image_choice --config FILE [section.key=value ...]`."""

from finetune.launch import launch

if __name__ == "__main__":
    launch("image_choice")
