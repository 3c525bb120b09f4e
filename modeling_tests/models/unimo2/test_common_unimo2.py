# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""transformers' common model tests on every public class."""

import unittest

import pytest
import torch
from transformers.models.auto import modeling_auto

from hf_unimo import (
    Unimo2Config,
    Unimo2ForConditionalGeneration,
    Unimo2ForImageClassification,
    Unimo2ForImageTextClassification,
    Unimo2ForImageTextRetrieval,
    Unimo2ForMaskedLM,
    Unimo2ForPreTraining,
    Unimo2ForSequenceClassification,
    Unimo2ForVisualQuestionAnswering,
    Unimo2Model,
    Unimo2TextConfig,
    Unimo2TextModel,
    Unimo2VisionConfig,
    Unimo2VisionModel,
)


common = pytest.importorskip(
    "hf_common_tests.test_modeling_common", reason="transformers' common tests could not be fetched (see the header)"
)
configuration_common = pytest.importorskip("hf_common_tests.test_configuration_common")

# The mixin learns which class is a base model and which labels a head takes from static tables of class names.
modeling_auto.MODEL_MAPPING_NAMES["unimo2"] = "Unimo2Model"
modeling_auto.MODEL_MAPPING_NAMES["unimo2_vision_model"] = "Unimo2VisionModel"
modeling_auto.MODEL_MAPPING_NAMES["unimo2_text_model"] = "Unimo2TextModel"
modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES["unimo2"] = "Unimo2ForMaskedLM"
modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES["unimo2"] = "Unimo2ForSequenceClassification"
modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES["unimo2"] = "Unimo2ForImageClassification"
modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES["unimo2"] = "Unimo2ForConditionalGeneration"
modeling_auto.MODEL_FOR_PRETRAINING_MAPPING_NAMES["unimo2"] = "Unimo2ForPreTraining"


ENCODER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37}


class Unimo2ModelTester:
    """Tiny pairs: images of 2x2 patches and texts of 7 words. The mixin reads every attribute."""

    batch_size, seq_length, is_training = 3, 7, True
    hidden_size, num_attention_heads, num_hidden_layers = 32, 4, 2
    image_size, patch_size, num_channels = 8, 4, 3
    num_image, num_grounded = 5, 4
    encoder_seq_length = key_length = num_image + num_grounded + seq_length
    vocab_size, num_labels = 99, 3

    def __init__(self, parent):
        self.parent = parent

    def get_config(self):
        return Unimo2Config(
            vision_config=ENCODER | {"image_size": self.image_size, "patch_size": self.patch_size},
            text_config=ENCODER
            | {
                "vocab_size": self.vocab_size,
                "max_position_embeddings": 64,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
            },
            grounded_config=ENCODER | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
            dictionary_size=16,
            num_grounded_tokens=self.num_grounded,
            num_labels=self.num_labels,
        )

    def images(self):
        return common.floats_tensor([self.batch_size, self.num_channels, self.image_size, self.image_size])

    def texts(self):
        return {
            "input_ids": common.ids_tensor([self.batch_size, self.seq_length], self.vocab_size),
            "attention_mask": common.random_attention_mask([self.batch_size, self.seq_length]),
        }

    def prepare_config_and_inputs_for_common(self):
        return self.get_config(), {**self.texts(), "pixel_values": self.images()}


class CommonTest(common.ModelTesterMixin):
    """What the classes below share."""

    all_model_classes = ()
    model_tester_class = Unimo2ModelTester
    config_class = Unimo2Config
    test_resize_embeddings = True
    # No head uses every parameter; which ones it leaves alone is listed, head by head, in test_modeling_unimo2.py.
    test_all_params_have_gradient = False
    _is_composite = True

    def setUp(self):
        self.model_tester = self.model_tester_class(self)
        self.config_tester = configuration_common.ConfigTester(
            self, config_class=self.config_class, has_text_modality=False, common_properties=[]
        )

    def test_config(self):
        self.config_tester.run_common_tests()

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs_dict = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if return_labels:
            batch, length = self.model_tester.batch_size, self.model_tester.seq_length
            if model_class is Unimo2ForPreTraining:
                inputs_dict["labels"] = torch.zeros(batch, length, dtype=torch.long)
                inputs_dict["matching_labels"] = torch.ones(batch, dtype=torch.long)
            elif model_class is Unimo2ForImageTextRetrieval:
                inputs_dict["labels"] = torch.ones(batch, dtype=torch.long)
            elif model_class is Unimo2ForImageTextClassification:
                inputs_dict["labels"] = torch.zeros(batch, dtype=torch.long)
            elif model_class is Unimo2ForVisualQuestionAnswering:
                inputs_dict["labels"] = torch.full((batch, self.model_tester.num_labels), 0.3)
        return inputs_dict


class Unimo2ModelTest(CommonTest, unittest.TestCase):
    all_model_classes = (Unimo2Model, Unimo2ForMaskedLM, Unimo2ForPreTraining)


class Unimo2TextHeadTester(Unimo2ModelTester):
    """Texts without images: the fusion encoder sees grounded and text tokens."""

    encoder_seq_length = key_length = Unimo2ModelTester.num_grounded + Unimo2ModelTester.seq_length

    def prepare_config_and_inputs_for_common(self):
        return self.get_config(), self.texts()


class Unimo2ForSequenceClassificationTest(CommonTest, unittest.TestCase):
    all_model_classes = (Unimo2ForSequenceClassification,)
    model_tester_class = Unimo2TextHeadTester

    @unittest.skip("counts the calls of the model's first layer, which is the vision encoder's and rests for a text")
    def test_training_gradient_checkpointing(self):
        """Gradients with and without checkpointing are compared for every head in test_modeling_unimo2.py."""

    test_training_gradient_checkpointing_use_reentrant_false = test_training_gradient_checkpointing
    test_training_gradient_checkpointing_use_reentrant_true = test_training_gradient_checkpointing


class Unimo2ImageHeadTester(Unimo2ModelTester):
    """Images without texts: the fusion encoder sees image and grounded tokens."""

    encoder_seq_length = key_length = Unimo2ModelTester.num_image + Unimo2ModelTester.num_grounded

    def prepare_config_and_inputs_for_common(self):
        return self.get_config(), {"pixel_values": self.images()}


class Unimo2ForImageClassificationTest(CommonTest, unittest.TestCase):
    all_model_classes = (Unimo2ForImageClassification,)
    model_tester_class = Unimo2ImageHeadTester
    test_resize_embeddings = False  # the input is an image


class Unimo2PairHeadsTest(CommonTest, unittest.TestCase):
    all_model_classes = (
        Unimo2ForImageTextRetrieval,
        Unimo2ForVisualQuestionAnswering,
        Unimo2ForImageTextClassification,
    )
    additional_model_inputs = ["pixel_values"]  # the comparison of eager and sdpa gives a head its main input only


class Unimo2ForConditionalGenerationTest(CommonTest, common.GenerationTesterMixin, unittest.TestCase):
    all_model_classes = (Unimo2ForConditionalGeneration,)
    additional_model_inputs = ["pixel_values"]  # as above


class Unimo2VisionModelTester(Unimo2ModelTester):
    encoder_seq_length = key_length = seq_length = Unimo2ModelTester.num_image

    def get_config(self):
        return super().get_config().vision_config

    def prepare_config_and_inputs_for_common(self):
        return self.get_config(), {"pixel_values": self.images()}


class Unimo2VisionModelTest(CommonTest, unittest.TestCase):
    all_model_classes = (Unimo2VisionModel,)
    model_tester_class = Unimo2VisionModelTester
    config_class = Unimo2VisionConfig
    test_resize_embeddings = False  # the input is an image
    _is_composite = False

    def test_model_get_set_embeddings(self):
        # The mixin expects word embeddings; a vision model's input embedding is a convolution (as in transformers'
        # ViT).
        model = Unimo2VisionModel(self.model_tester.get_config())
        self.assertIsInstance(model.get_input_embeddings(), torch.nn.Conv2d)


class Unimo2TextModelTester(Unimo2ModelTester):
    encoder_seq_length = key_length = Unimo2ModelTester.seq_length

    def get_config(self):
        return super().get_config().text_config

    def prepare_config_and_inputs_for_common(self):
        return self.get_config(), self.texts()


class Unimo2TextModelTest(CommonTest, unittest.TestCase):
    all_model_classes = (Unimo2TextModel,)
    model_tester_class = Unimo2TextModelTester
    config_class = Unimo2TextConfig
    _is_composite = False
