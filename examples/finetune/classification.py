# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Fine-tunes UNIMO-2 as a classifier with a plain `transformers.Trainer`: of pictures with a sentence, two pictures
with a sentence, pictures, or texts.

    python examples/finetune/classification.py --task visual-entailment --model runs/demo/model \\
        --data runs/data/entailment/entailment.parquet --output runs/entailment

The data is a Parquet file, or a folder of such, with the columns of `TASKS` and `split`: train, validation or test.
"""

import argparse

from transformers import Trainer, TrainingArguments

import hf_unimo
from hf_unimo import (
    Unimo2ForImageClassification,
    Unimo2ForImageTextClassification,
    Unimo2ForSequenceClassification,
    Unimo2Processor,
)
from hf_unimo.data.open_data import open_tree
from hf_unimo.data.task_collators import TaskCollator
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.run import evaluate_task
from hf_unimo.files import check_destination
from hf_unimo.training.targets import ClassTarget, class_names


# Name of the pipeline -> name of the evaluator, head, what its configuration says more, columns of the data, and how
# a row is given to the pipeline.
TASKS = {
    "visual-entailment": (
        *("entailment", Unimo2ForImageTextClassification, {}),
        {"image": "image", "text": "hypothesis", "label": "label"},
        lambda row: (row.image.open(), row.hypothesis),
    ),
    "nlvr2": (
        *("nlvr2", Unimo2ForImageTextClassification, {"num_images": 2}),
        {"image": "image", "second_image": "second_image", "text": "text", "label": "label"},
        lambda row: ((row.left.open(), row.right.open()), row.sentence),
    ),
    "image-classification": (
        *("image-classification", Unimo2ForImageClassification, {}),
        {"image": "image", "label": "label"},
        lambda row: (row.image.open(),),
    ),
    "text-classification": (
        *("text-classification", Unimo2ForSequenceClassification, {}),
        {"text": "text", "label": "label"},
        lambda row: (row.text,),
    ),
}


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def finetune(args):
    evaluation, head, settings, columns, inputs_of = TASKS[args.task]
    check_destination(args.output)
    train, validation, test = (
        open_tree({"path": args.data, "columns": columns, "where": {"split": split}}, evaluation)
        for split in ("train", "validation", "test")
    )
    labels = class_names(train)
    label2id = {name: number for number, name in enumerate(labels)}
    model = head.from_pretrained(
        args.model, id2label=dict(enumerate(labels)), label2id=label2id, ignore_mismatched_sizes=True, **settings
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
        data_collator=TaskCollator(
            processor.tokenizer, processor.image_processor, target=ClassTarget(train, label2id)
        ),
        train_dataset=train,
        eval_dataset=validation,
        compute_metrics=accuracy,
    )
    trainer.train()
    print(evaluate_task(evaluation, model, processor, test).to_markdown())
    model.save_pretrained(args.output)
    processor.save_pretrained(args.output)
    print(hf_unimo.pipeline(args.task, args.output)(*inputs_of(test[0])))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, choices=TASKS, help="what is learned")
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
