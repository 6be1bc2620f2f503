"""`accelerate launch -m recipes.ehr_query --config FILE`."""

from finetune.launch import launch

if __name__ == "__main__":
    launch("ehr_query")
