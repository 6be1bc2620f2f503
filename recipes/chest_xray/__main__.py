"""`accelerate launch -m recipes.chest_xray --config FILE [section.key=value ...]`."""

from finetune.launch import launch

if __name__ == "__main__":
    launch("chest_xray")
