"""`accelerate launch -m recipes.documents --config FILE`."""

from finetune.launch import launch

if __name__ == "__main__":
    launch("documents")
