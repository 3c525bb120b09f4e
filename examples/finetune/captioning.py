# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""Fine-tunes UNIMO-2 to write captions with a plain `transformers.Trainer`.

    python examples/finetune/captioning.py --model runs/demo/model \\
        --data examples/data/emoji/emoji.parquet --output runs/emoji_captioning

The data is a Parquet file, or a folder of such, with the columns below and `split`: train or test. Rows
of one picture are one item, whose captions are drawn in turn.
"""

import argparse

from transformers import Trainer, TrainingArguments

import hf_unimo
from hf_unimo import Unimo2ForConditionalGeneration, Unimo2Processor
from hf_unimo.data.open_data import open_tree
from hf_unimo.data.task_collators import CaptioningCollator
from hf_unimo.errors import BadInputError
from hf_unimo.evaluation.run import evaluate_task
from hf_unimo.files import check_destination


COLUMNS = {"image": "image", "text": "label"}


def finetune(args):
    check_destination(args.output)
    train, test = (
        open_tree({"path": args.data, "columns": COLUMNS, "where": {"split": split}}, "captioning")
        for split in ("train", "test")
    )
    model = Unimo2ForConditionalGeneration.from_pretrained(args.model, caption_label_smoothing=0.1)
    processor = Unimo2Processor.from_pretrained(args.model)
    trainer = Trainer(
        model,
        TrainingArguments(
            args.output,
            num_train_epochs=args.epochs,
            max_steps=args.max_steps,
            learning_rate=1e-4,
            per_device_train_batch_size=32,
            save_strategy="no",
            report_to="none",
            remove_unused_columns=False,  # the collator takes whole rows
        ),
        data_collator=CaptioningCollator(processor.tokenizer, processor.image_processor),
        train_dataset=train,
    )
    trainer.train()
    generation = {"num_beams": 3, "max_new_tokens": 20}
    print(evaluate_task("captioning", model, processor, test, generation=generation).to_markdown())
    model.save_pretrained(args.output)
    processor.save_pretrained(args.output)
    print(hf_unimo.pipeline("image-captioning", args.output)(test[0].image.open(), generate_kwargs=generation))


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
