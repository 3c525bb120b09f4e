# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""
Writes a saved model as ONNX graphs for serving without PyTorch: image encoder, text encoder, the fusion stage with the
model's head, and the whole model; batch, text length and image size are free. The weights become float32.

  hf-unimo export-onnx out/checkpoint-500 --out unimo2-onnx --check
  hf-unimo export-onnx out/retrieval --out encoders --parts image-encoder,text-encoder
  hf-unimo export-onnx out/masked-words --out words --modalities text

Needs `pip install 'hf-unimo[onnx]'`.
"""

import argparse

from ..exporting.onnx import OPSETS, PARTS, TOLERANCE, export_onnx


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("source", metavar="MODEL", help="saved model: config.json, model.safetensors, processor files")
    parser.add_argument("--out", metavar="DIR", required=True, help="new folder")
    parser.add_argument(
        "--parts", metavar="A,B,...", type=_names, help=f"graphs, of {', '.join(PARTS)} (default: all that there are)"
    )
    parser.add_argument(
        "--modalities", metavar="A,B", type=_names, help="inputs, of image, text (default: those of the model's class)"
    )
    parser.add_argument(
        "--opset", type=int, metavar="N", default=20, help=f"{OPSETS[0]} to {OPSETS[-1]} (default: %(default)s)"
    )
    parser.add_argument(
        "--check", action="store_true", help="run what was written by onnxruntime and compare it with PyTorch"
    )


def run(args: argparse.Namespace) -> None:
    """Exports, then says what and where. Raises [`BadInputError`] and [`CheckFailedError`]."""
    export = export_onnx(
        args.source, args.out, parts=args.parts, modalities=args.modalities, opset=args.opset, check=args.check
    )
    if export.from_dtype != "float32":
        print(f"the weights were {export.from_dtype} and are float32 in the graphs")
    for part in export.parts:
        size = sum((export.folder / name).stat().st_size for name in (f"{part}.onnx", f"{part}.onnx.data"))
        compared = ""
        if export.differences is not None:
            compared = f", within {export.differences[part]:.1e} of PyTorch (accepted: {TOLERANCE})"
        print(f"{part}: {size / 1e6:.1f} MB{compared}")
    print(f"written: {export.folder}")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]
