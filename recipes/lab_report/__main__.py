"""`accelerate launch -m recipes.lab_report --config FILE [section.key=value ...]`."""

from finetune.launch import launch

if __name__ == "__main__":
    launch("lab_report")
