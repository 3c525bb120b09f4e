# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Readers of foreign checkpoint formats, and the tables of names between them and our models.

`paddle.py` and `paddle_pickle.py` know the formats, `unimo2_names.py` is the table, `unimo2.py` converts both ways.
"""
