# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Fine-tunes UNIMO-2 to answer questions about pictures with a plain `transformers.Trainer`.

    python examples/finetune/visual_question_answering.py --model runs/demo/model \\
        --data runs/data/easy_vqa/easy_vqa.parquet --output runs/easy_vqa

The data is a Parquet file, or a folder of such, with the columns below and `split`: train, validation or test. A row
has one answer, or a list of those that several people gave.
"""

import argparse

from transformers import Trainer, TrainingArguments

import hf_unimo
from hf_unimo import Unimo2ForVisualQuestionAnswering, Unimo2Processor
from hf_unimo.data.open_data import open_tree
from hf_unimo.data.task_collators import TaskCollator
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.run import evaluate_task
from hf_unimo.files import check_destination
from hf_unimo.training.targets import AnswerTarget, answer_vocabulary


COLUMNS = {"image": "image", "text": "question", "answers": "answer"}


def soft_accuracy(prediction):
    """Mean score of the answers that the model chose; an answer's score is the accuracy that it gets."""
    scores, chosen = prediction.label_ids, prediction.predictions.argmax(-1)
    return {"soft_accuracy": float(scores[range(len(scores)), chosen].mean())}


def finetune(args):
    check_destination(args.output)
    train, validation, test = (
        open_tree({"path": args.data, "columns": COLUMNS, "where": {"split": split}}, "vqa")
        for split in ("train", "validation", "test")
    )
    answers = answer_vocabulary(train, most=3129, least_count=1)
    label2id = {answer: number for number, answer in enumerate(answers)}
    model = Unimo2ForVisualQuestionAnswering.from_pretrained(
        args.model, id2label=dict(enumerate(answers)), label2id=label2id, ignore_mismatched_sizes=True
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
        data_collator=TaskCollator(processor.tokenizer, processor.image_processor, target=AnswerTarget(label2id)),
        train_dataset=train,
        eval_dataset=validation,
        compute_metrics=soft_accuracy,
    )
    trainer.train()
    print(evaluate_task("vqa", model, processor, test).to_markdown())
    model.save_pretrained(args.output)
    processor.save_pretrained(args.output)
    print(hf_unimo.pipeline("vqa", args.output)(test[0].image.open(), test[0].question))


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
