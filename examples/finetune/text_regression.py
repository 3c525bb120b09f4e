# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Fine-tunes UNIMO-2 to give a text a number with a plain `transformers.Trainer`.

    python examples/finetune/text_regression.py --model runs/demo/model \\
        --data runs/data/vader/vader_movies.parquet --output runs/ratings

The data is a Parquet file, or a folder of such, with the columns below and `split`: train, validation or test. With
`"text_pair": COLUMN` among them the number is one of two texts, such as how similar they are.
"""

import argparse

import numpy as np
from transformers import Trainer, TrainingArguments

import hf_unimo
from hf_unimo import Unimo2ForSequenceClassification, Unimo2Processor
from hf_unimo.data.open_data import open_tree
from hf_unimo.data.task_collators import TaskCollator
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.run import evaluate_task
from hf_unimo.files import check_destination
from hf_unimo.training.targets import ValueTarget


COLUMNS = {"text": "text", "label": "rating"}


def pearson(prediction):
    return {"pearson": float(np.corrcoef(prediction.predictions[:, 0], prediction.label_ids)[0, 1])}


def finetune(args):
    check_destination(args.output)
    train, validation, test = (
        open_tree({"path": args.data, "columns": COLUMNS, "where": {"split": split}}, "regression")
        for split in ("train", "validation", "test")
    )
    model = Unimo2ForSequenceClassification.from_pretrained(
        args.model, num_labels=1, problem_type="regression", ignore_mismatched_sizes=True
    )
    processor = Unimo2Processor.from_pretrained(args.model)
    trainer = Trainer(
        model,
        TrainingArguments(
            args.output,
            num_train_epochs=args.epochs,
            max_steps=args.max_steps,
            learning_rate=1e-4,
            per_device_train_batch_size=32,
            eval_strategy="epoch",
            save_strategy="no",
            report_to="none",
            remove_unused_columns=False,  # the collator takes whole rows
        ),
        data_collator=TaskCollator(processor.tokenizer, image_processor=None, target=ValueTarget()),
        train_dataset=train,
        eval_dataset=validation,
        compute_metrics=pearson,
    )
    trainer.train()
    print(evaluate_task("regression", model, processor, test).to_markdown())
    model.save_pretrained(args.output)
    processor.save_pretrained(args.output)
    print(hf_unimo.pipeline("text-classification", args.output, function_to_apply="none")(test[0].text))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a checkpoint, such as one of pre-training")
    parser.add_argument("--data", required=True, help="Parquet file, or folder of such")
    parser.add_argument("--output", required=True, help="folder for the model")
    parser.add_argument("--epochs", type=float, default=3, help="passes over the rows (default: 3)")
    parser.add_argument("--max-steps", type=int, default=-1, help="steps in place of epochs")
    args = parser.parse_args(arguments)
    try:
        finetune(args)
    except (BadInputError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {' '.join(str(error).split())}\n")


if __name__ == "__main__":
    main()
