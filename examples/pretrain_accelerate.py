# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""The run of `hf-unimo pretrain`, written out as a loop for plain Accelerate: a start for a loop of your own.

    python examples/pretrain_accelerate.py examples/configs/emoji.yaml training.steps=100
    torchrun --nproc-per-node 2 examples/pretrain_accelerate.py examples/configs/emoji.yaml

It takes the same file and overrides, has the same loss at every step, and saves the same model in `<output>/model`.
Evaluation during training, checkpoints and the report are left to the command.

Exit codes: 0 done, 1 the loss is not finite, 2 bad input (one sentence on standard error, nothing written).
"""

import argparse
import sys
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import send_to_device
from transformers import Trainer, TrainerState, get_scheduler, set_seed

from hf_unimo.data.batches import BadRowCount, train_loader
from hf_unimo.errors import BadInputError, CheckFailedError
from hf_unimo.files import check_destination, staged_directory
from hf_unimo.training.build import build_run
from hf_unimo.training.dictionary import DictionaryCallback
from hf_unimo.training.parameter_groups import belongs_to, check_modules, learning_rate_factors, parameter_groups
from hf_unimo.training.pretrain import MODEL_FOLDER, training_arguments
from hf_unimo.training.run_config import MAY_CHANGE, load_run_config
from hf_unimo.training.trainer import freeze_parameters


KNOWN = {
    *("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "weight_decay", "max_grad_norm"),
    *("adam_beta1", "adam_beta2", "adam_epsilon", "gradient_accumulation_steps", "bf16", "fp16", "use_cpu"),
}
"""Keys of `TrainingArguments` that the loop below goes by, beside those that change nothing of what is trained."""


def check_keys(options):
    """A key that the loop does not know must not be passed over: the run would be another one than the file says."""
    unknown = [name for name in options.arguments if name not in KNOWN and f"training.{name}" not in MAY_CHANGE]
    unknown += [name for name in ("early_stopping_patience", "lora") if getattr(options, name) is not None]
    if options.arguments.get("lr_scheduler_type") in ("reduce_lr_on_plateau", "greedy"):  # they need evaluations
        unknown.append("lr_scheduler_type")
    if unknown:
        keys = ", ".join(f"training.{name}" for name in unknown)
        raise BadInputError(f"This loop cannot do what {keys} asks for; leave it out, or use `hf-unimo pretrain`.")


def make_optimizer(model, arguments):
    """AdamW with a group for each learning rate."""
    check_modules(model, arguments.lr_multipliers, "training.lr_multipliers")
    factors = learning_rate_factors(model, arguments.lr_multipliers, arguments.layerwise_lr_decay)
    decayed = Trainer.get_decay_parameter_names(None, model)  # no biases and norms; it needs no trainer to tell
    groups = parameter_groups(model, factors, decayed, arguments.learning_rate, arguments.weight_decay)
    betas, fused = (arguments.adam_beta1, arguments.adam_beta2), arguments.optim == "adamw_torch_fused"
    return torch.optim.AdamW(groups, arguments.learning_rate, betas, arguments.adam_epsilon, fused=fused)


def drop_frozen_gradients(model, freeze, step):
    """So that nothing moves what is frozen until a later step: no momentum, no decay, no share in the clipped norm."""
    frozen = [module for module, until in freeze.items() if step < until]
    for name, parameter in model.named_parameters():
        if any(belongs_to(name, module) for module in frozen):
            parameter.grad = None


def train(config):
    """Trains as `config` (a `RunConfig`) says and saves model and processor. Returns the loss of every step."""
    check_keys(config.training)
    check_destination(config.output)
    arguments = training_arguments(config)
    accelerator = Accelerator(
        mixed_precision=arguments.mixed_precision,
        gradient_accumulation_steps=arguments.gradient_accumulation_steps,
        # A batch of texts leaves the vision encoder without gradient.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    run = build_run(config)
    set_seed(config.seed)  # as Trainer does once it has the model: dropout starts from the seed, not from the weights
    check_modules(run.model, arguments.freeze, "training.freeze")
    freeze_parameters(run.model, arguments)
    model, optimizer = accelerator.prepare(run.model, make_optimizer(run.model, arguments))
    # These two are not prepared: accelerate would share the batches out once more, which are this process's already,
    # and move the learning rate on once for each process.
    scheduler = get_scheduler(
        arguments.lr_scheduler_type,
        optimizer,
        num_warmup_steps=arguments.get_warmup_steps(arguments.max_steps),
        num_training_steps=arguments.max_steps,
        scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
    )
    batches = train_loader(
        run.sources,
        run.schedule,
        run.collator,
        batch_size={source.name: source.options.batch_size or config.data.batch_size for source in run.sources},
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        max_bad_rows=config.data.max_bad_rows,
        num_workers=config.data.num_workers,
    )
    bad_rows = BadRowCount(config.data.max_bad_rows)
    options, dictionary = config.dictionary, None
    if options.row_constraint or options.restart_dead_every:
        dictionary = DictionaryCallback(options.row_constraint, options.restart_dead_every, config.seed)
        dictionary.on_train_begin(arguments, TrainerState(), None, model=run.model)

    losses, step_loss = [], 0
    model.train()
    for batch in batches:
        info = batch.pop("info")
        step = info.index // arguments.gradient_accumulation_steps
        bad_rows.add(info)
        with accelerator.accumulate(model):
            outputs = model(
                **send_to_device(batch, accelerator.device),
                objective_weights=run.objectives.weights_at(step),
                matching_hardness=run.objectives.hardness_at(step),
                seed=config.seed,
                step=info.index,
            )
            if outputs.loss is None:
                raise BadInputError(f"A batch of source {info.source!r} has no loss at step {step}.")
            if not torch.isfinite(outputs.loss):
                raise CheckFailedError(f"The loss is not finite at step {step}, in batch {info.index}: {info.places}.")
            # Accelerate takes the mean over the batches of a step; an accumulating schedule asks for their sum.
            loss = outputs.loss * run.schedule.batches_per_step
            accelerator.backward(loss)
        step_loss += loss.detach() / arguments.gradient_accumulation_steps
        if not accelerator.sync_gradients:
            continue
        drop_frozen_gradients(run.model, arguments.freeze, step)
        if arguments.max_grad_norm > 0:
            accelerator.clip_grad_norm_(model.parameters(), arguments.max_grad_norm)
        optimizer.step()
        if dictionary is not None:
            dictionary.on_optimizer_step(arguments, TrainerState(global_step=step), None, optimizer=optimizer)
        if not accelerator.optimizer_step_was_skipped:  # by fp16, when gradients overflow
            scheduler.step()
        optimizer.zero_grad()
        losses.append(accelerator.reduce(step_loss, "mean").item())
        step_loss = 0
        accelerator.print(f"step {step + 1}/{arguments.max_steps}  {info.source}  loss {losses[-1]:.4f}", flush=True)

    if accelerator.is_main_process:
        with staged_directory(Path(config.output, MODEL_FOLDER)) as folder:
            run.model.save_pretrained(folder)
            run.processor.save_pretrained(folder)
    # All wait for the saving, without Python's lock: a thread of gloo that still wants it for the last reduction would
    # never end, and the process group with it.
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return losses


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG.yaml", help="the run")
    parser.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="keys of the file, e.g. training.steps=50")
    options = parser.parse_args(arguments)
    try:
        train(load_run_config(options.config, options.overrides))
    except (BadInputError, CheckFailedError) as error:
        print(f"pretrain_accelerate: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadInputError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
