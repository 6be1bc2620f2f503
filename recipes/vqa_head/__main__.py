"""`accelerate launch -m recipes.vqa_head --config FILE`."""

from finetune.launch import launch

if __name__ == "__main__":
    launch("vqa_head")
