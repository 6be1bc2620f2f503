"""`accelerate launch -m recipes.slide --config FILE [section.key=value ...]`."""

from finetune.launch import launch

if __name__ == "__main__":
    launch("slide")
