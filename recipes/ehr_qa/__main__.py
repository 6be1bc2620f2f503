"""`accelerate launch -m recipes.ehr_qa --config FILE [section.key=value ...]`."""

from finetune.launch import launch

if __name__ == "__main__":
    launch("ehr_qa")
