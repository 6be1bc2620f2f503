"""`accelerate launch -m recipes.contrastive --config FILE`."""

from finetune.launch import launch

if __name__ == "__main__":
    launch("contrastive")
