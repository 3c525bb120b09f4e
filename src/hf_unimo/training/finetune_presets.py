# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
How the first implementation fine-tuned: its three published runs as keys of a configuration, `preset: NAME`.

Rates, schedules, lengths and sizes are those of its scripts. Its weight decay of 0.01 for retrieval and captioning is
0 here: in the scripts it had no effect, as the optimizer was Adam without decay. Batches are those of one GPU: with
eight (retrieval, MNLI) or four (captioning) processes the whole batch is that of the scripts.
"""

from typing import Any


_ADAM = {
    "adam_beta1": 0.9,
    "adam_beta2": 0.98,
    "adam_epsilon": 1e-6,
    "max_grad_norm": 1.0,
    "weight_decay": 0.0,
}

PRESETS: dict[str, dict[str, Any]] = {
    "official-flickr30k": {
        "task": "retrieval",
        "seed": 1,
        "model": {"config": {"similarity_weight": 0.3, "circle_margin": 0.2, "circle_scale": 1.0}},
        "data": {"batch_size": 2, "image_size": 384, "max_text_length": 128},
        "options": {"loss": "circle", "negatives": 20},
        "training": {
            "epochs": 40,
            "learning_rate": 5e-6,
            "lr_scheduler_type": "constant_with_warmup",
            "lr_drops": [[0.6, 0.1], [0.8, 0.1]],  # after 24 and 32 of 40 epochs
            **_ADAM,
        },
    },
    "official-coco": {
        "task": "captioning",
        "seed": 1,
        # 100 object tags, then up to 50 words after the one that begins them.
        "data": {"batch_size": 32, "image_size": 384, "max_text_length": 151},
        "options": {
            "label_smoothing": 0.1,
            "generation": {"num_beams": 5, "length_penalty": 0.6, "max_new_tokens": 50, "min_new_tokens": 5},
        },
        "training": {
            "epochs": 10,
            "learning_rate": 1e-5,
            "lr_scheduler_type": "linear",
            "warmup_steps": 0.06,
            **_ADAM,
        },
    },
    "official-mnli": {
        "task": "text-classification",
        "seed": 1,
        "data": {"batch_size": 16, "max_text_length": 512},
        "training": {
            "epochs": 20,
            "learning_rate": 2e-5,  # of the grid 1e-5, 2e-5, 3e-5
            "lr_scheduler_type": "linear",
            "warmup_steps": 0.06,
            "decay_from_start": True,
            **_ADAM,
        },
    },
}
"""Name -> the keys that it fills in."""
