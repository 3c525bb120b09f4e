# Copyright 2026 The hf_unimo authors. Licensed under the Apache License, Version 2.0.
"""`WholeWordMasking`: whole words, spans, proportions, determinism."""

import copy
import math
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordLevel, WordPiece
from transformers import BertTokenizer, TokenizersBackend

from hf_unimo.data.masking import WholeWordMasking, word_start_ids
from hf_unimo.data.schedule import row_generators
from hf_unimo.errors import BadInputError
from hf_unimo.models.unimo2.tokenization_unimo2 import Unimo2Tokenizer


TOKENIZER = Path(__file__).parents[2] / "examples" / "data" / "emoji" / "tokenizer"
TEXTS = [
    "smiling cat with heart-eyes, animal, unbelievable",
    "flag: Liechtenstein",
    "woman facepalming",
    "",
    "eggplant, aubergine, vegetable, antidisestablishmentarianism and other words that nobody has drawn",
]
# A vocabulary of 100 ids for tests without a tokenizer: 0-4 special, the even ones behind them begin a word.
CLS, PAD, SEP, UNK, MASK = range(5)
EVEN = torch.arange(100) % 2 == 0


def numbered(**options):
    return WholeWordMasking(MASK, torch.arange(5), EVEN, torch.arange(5, 100), **options)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def words_of(length, tokens):
    """A text of `length` words with `tokens` tokens each, between CLS and SEP, (1, length * tokens + 2)."""
    return torch.tensor([[CLS, *([6] + [7] * (tokens - 1)) * length, SEP]])


@pytest.fixture(scope="module")
def tokenizer():
    return Unimo2Tokenizer.from_pretrained(TOKENIZER)


@pytest.fixture(scope="module")
def batch(tokenizer):
    return tokenizer(TEXTS, padding=True, return_tensors="pt")


def test_word_start_ids_of_byte_level_bpe(tokenizer):
    starts = word_start_ids(tokenizer)
    assert starts.shape == (len(tokenizer),)
    for token, index in tokenizer.get_vocab().items():
        if token[0] == "Ġ" or token[0].isascii():
            assert starts[index] == (token[0] == "Ġ"), token
    for blank in "\n\t\r":
        assert starts[tokenizer(blank, add_special_tokens=False).input_ids[0]]
    assert starts.float().mean() > 0.2


@pytest.mark.parametrize(
    "vocab, model, decoder, starts",
    [
        ({"[UNK]": 0, "cat": 1, "##s": 2, "##ing": 3}, WordPiece, decoders.WordPiece(), [0, 1]),
        ({"[UNK]": 0, "▁cat": 1, "s": 2, "▁": 3, "##": 4}, WordLevel, decoders.Metaspace(), [1, 3]),
        ({"[UNK]": 0, "cat": 1, "dog": 2}, WordLevel, None, [0, 1, 2]),  # nothing marks words
        ({"[UNK]": 0, "cat": 5, "##s": 2}, WordPiece, decoders.WordPiece(), [0, 5]),  # with gaps
    ],
)
def test_word_start_ids_of_other_vocabularies(vocab, model, decoder, starts):
    backend = Tokenizer(model(vocab, unk_token="[UNK]"))
    if decoder is not None:
        backend.decoder = decoder
    tokenizer = TokenizersBackend(tokenizer_object=backend, unk_token="[UNK]")
    assert word_start_ids(tokenizer).nonzero().flatten().tolist() == starts


def test_whole_words_and_never_special_tokens(tokenizer, batch):
    masking = WholeWordMasking.from_tokenizer(tokenizer, ratio=0.3)
    # Here a word is whatever stands between blanks; the text's own offsets say which tokens that is.
    encodings = tokenizer(TEXTS, return_offsets_mapping=True)
    for seed in range(50):
        ids, labels = masking(batch.input_ids, batch.attention_mask, generator=seeded(seed))
        hidden = labels != -100
        assert torch.equal(labels[hidden], batch.input_ids[hidden])
        assert torch.equal(ids[~hidden], batch.input_ids[~hidden])
        special = torch.isin(batch.input_ids, torch.tensor(tokenizer.all_special_ids))
        assert not (hidden & (special | (batch.attention_mask == 0))).any()
        for row, text in enumerate(TEXTS):
            state = {}
            for position, (start, end) in enumerate(encodings.offset_mapping[row]):
                if end > start:
                    word = text[:end].count(" ")
                    assert state.setdefault(word, hidden[row, position]) == hidden[row, position]


def test_whole_words_of_word_pieces():
    """A word begins at every piece without "##", with a blank before it or not; a comma is a word of its own."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##believ", "##able", "cat", "##s", "face", "##palm"]
    tokenizer = BertTokenizer({word: index for index, word in enumerate([*words, ",", "-", "##,"])})
    assert word_start_ids(tokenizer).tolist() == [not word.startswith("##") for word in [*words, ",", "-", "##,"]]
    masking = WholeWordMasking.from_tokenizer(tokenizer, ratio=0.4)
    assert masking.mask_token_id == 4 and masking.special_token_ids.tolist() == [0, 1, 2, 3, 4]
    assert masking.replacement_ids.min() == 5
    batch = tokenizer(
        ["Unbelievable cats, facepalm-cats xyz", "unbelievable"], ["cats", "cats"], padding=True, return_tensors="pt"
    )
    expected = "[CLS] un ##believ ##able cat ##s , face ##palm - cat ##s [UNK] [SEP] cat ##s [SEP]"
    assert tokenizer.convert_ids_to_tokens(batch.input_ids[0]) == expected.split()
    groups = [[1, 2, 3], [4, 5], [6], [7, 8], [9], [10, 11], [14, 15]]
    special = torch.isin(batch.input_ids, torch.arange(5))
    single = replace(masking, ratio=0.05, longest_span=1, min_masked=0)
    seen = set()
    for seed in range(60):
        ids, labels = masking(batch.input_ids, batch.attention_mask, generator=seeded(seed))
        hidden = labels != -100
        assert not (hidden & special).any() and torch.equal(ids[~hidden], batch.input_ids[~hidden])
        for group in groups:
            assert hidden[0, group].all() or not hidden[0, group].any()
        one = (single(batch.input_ids, batch.attention_mask, generator=seeded(seed))[1][0] != -100).nonzero().flatten()
        seen.add(tuple(one.tolist()))
    assert seen == {tuple(group) for group in groups}


def test_amount(tokenizer, batch):
    for ratio in (0.15, 0.2, 0.5, 1.0):
        masking = replace(WholeWordMasking.from_tokenizer(tokenizer), ratio=ratio)
        hidden = (masking(batch.input_ids, batch.attention_mask, generator=seeded())[1] != -100).sum(1)
        tokens = batch.attention_mask.sum(1) - 2
        wanted = [math.ceil(int(count) * ratio) for count in tokens]
        longest_word = 12
        for found, least, most in zip(hidden.tolist(), wanted, tokens.tolist()):
            assert least <= found <= min(most, least + longest_word - 1 if least else 0)
    assert hidden.tolist() == tokens.tolist()  # ratio 1


@pytest.mark.parametrize(
    "length, ratio, expected", [(20, 0.15, 3), (30, 0.1, 3), (40, 0.15, 6), (7, 0.15, 2), (100, 0.07, 7)]
)
def test_ceiling_is_not_fooled_by_floats(length, ratio, expected):
    hidden = numbered(ratio=ratio)(words_of(length, 1), generator=seeded())[1] != -100
    assert hidden.sum() == expected


def test_80_10_10():
    ids = torch.randint(5, 100, (200, 100), generator=seeded(1))
    masked, labels = numbered(ratio=0.5)(ids, generator=seeded(2))
    hidden = labels != -100
    number = int(hidden.sum())
    assert number >= 10_000
    found = masked[hidden]
    shares = {"mask": (found == MASK).float().mean(), "kept": (found == labels[hidden]).float().mean()}
    # A random token is the old one in 1 of 95 cases.
    for name, expected in (("mask", 0.8), ("kept", 0.1 + 0.1 / 95)):
        assert abs(shares[name] - expected) < 4 * (expected * (1 - expected) / number) ** 0.5, name
    random = found[(found != MASK) & (found != labels[hidden])]
    assert set(random.tolist()) == set(range(5, 100))  # each but the special ones
    counts = torch.bincount(random, minlength=100)[5:].double()
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 94 + 4 * (2 * 94) ** 0.5  # chi-square


@pytest.mark.parametrize("mask_share, random_share", [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_shares_of_all_or_nothing(mask_share, random_share):
    ids = torch.randint(5, 100, (20, 30), generator=seeded(1))
    masked, labels = numbered(mask_share=mask_share, random_share=random_share)(ids, generator=seeded())
    hidden = labels != -100
    if mask_share:
        assert (masked[hidden] == MASK).all()
    elif random_share:
        assert (masked != MASK).all() and (masked[hidden] != ids[hidden]).float().mean() > 0.9
    else:
        assert torch.equal(masked, ids)


def test_lengths_of_spans_are_geometric_and_cut_off():
    number = 100_000
    found = numbered().span_lengths(torch.rand(number, generator=seeded(), dtype=torch.float64))
    weights = torch.tensor([0.8**length for length in range(11)], dtype=torch.float64)
    expected = weights / weights.sum()
    expected[1] += expected[0]  # a span has at least one word
    assert found.min() == 1 and found.max() == 10
    for length in range(1, 11):
        share, probability = (found == length).double().mean(), expected[length]
        assert abs(share - probability) < 4 * (probability * (1 - probability) / number) ** 0.5
    ends = torch.tensor([0.0, 1 - 1e-12], dtype=torch.float64)
    assert numbered().span_lengths(ends).tolist() == [1, 10]
    assert numbered(longest_span=1).span_lengths(ends).tolist() == [1, 1]


def neighbours(masking, texts=300, length=100):
    """How often the token behind a hidden one is hidden as well, in texts of one-token words."""
    hidden = masking(words_of(length, 1).repeat(texts, 1), generator=seeded())[1] != -100
    return (hidden[:, 1:] & hidden[:, :-1]).sum() / hidden.sum()


def test_words_are_hidden_in_spans():
    # Single words: any two places are hidden independently, up to the fixed number.
    assert abs(neighbours(numbered(longest_span=1)) - 0.14) < 0.02
    # Of the n words of a span n - 1 have a hidden neighbour behind them; n is 3.2 on average.
    assert neighbours(numbered()) > 0.6


def test_a_span_stays_within_its_text():
    """Behind a separator another text begins, and the span of the first does not go on there."""
    ids = torch.tensor([[CLS, *[6] * 40, SEP, *[6] * 40, SEP]]).repeat(400, 1)
    hidden = numbered(ratio=0.25, span_p=1e-9, longest_span=1000)(ids, generator=seeded())[1] != -100
    assert (hidden.sum(1) == 20).all() and not hidden[:, [0, 41, 82]].any()
    # A quarter of the first spans begin so late that they would go on behind the separator.
    assert (hidden[:, 40] & hidden[:, 42]).float().mean() < 0.05


def test_the_first_token_of_a_text_begins_a_word():
    """Without a blank before it: behind CLS, and behind the separator of a pair."""
    ids = torch.tensor([[CLS, 7, 7, SEP, 7, 7, 7, SEP]])
    for seed in range(20):
        hidden = numbered(ratio=0.01, min_masked=0)(ids, generator=seeded(seed))[1][0] != -100
        assert hidden.nonzero().flatten().tolist() in ([1, 2], [4, 5, 6])


def test_the_last_word_is_hidden_whole():
    hidden = numbered(longest_span=1)(words_of(10, 5), generator=seeded())[1] != -100
    assert hidden.sum() == 10  # 15 % of 50 tokens are 8: two words


def test_word_starts_can_be_given():
    """From `word_ids`, for instance; with True everywhere each token is a word."""
    ids = words_of(1, 20)
    assert (numbered()(ids, generator=seeded())[1] != -100).sum() == 20
    every = torch.ones_like(ids, dtype=torch.bool)
    assert (numbered()(ids, word_starts=every, generator=seeded())[1] != -100).sum() == 3


def test_deterministic_and_pure(batch, tokenizer):
    masking = WholeWordMasking.from_tokenizer(tokenizer)
    ids = batch.input_ids.clone()
    first = masking(ids, batch.attention_mask, generator=seeded(5))
    again = pickle.loads(pickle.dumps(copy.deepcopy(masking)))(ids, batch.attention_mask, generator=seeded(5))
    assert all(torch.equal(one, other) for one, other in zip(first, again))
    assert torch.equal(ids, batch.input_ids)
    assert not torch.equal(first[1], masking(ids, batch.attention_mask, generator=seeded(6))[1])


def test_a_row_does_not_depend_on_its_batch():
    """With a generator for each row: two ranks hide what one process hides, however each pads."""
    lengths = [30, 4, 17, 9]
    ids = torch.full((4, 32), PAD)
    for row, length in enumerate(lengths):
        ids[row, : length + 2] = torch.tensor([CLS, *torch.randint(5, 100, (length,), generator=seeded(row)), SEP])
    whole = numbered()(ids, ids != PAD, generator=row_generators(range(4), 0, 7, "masking"))
    for rows, width in (([0, 1], 32), ([2, 3], 19)):
        part = ids[rows, :width]
        found = numbered()(part, part != PAD, generator=row_generators(rows, 0, 7, "masking"))
        for one, other in zip(whole, found):
            assert torch.equal(one[rows, :width], other)
    assert (whole[1] != -100).any(1).all()


def test_at_least_min_masked_as_far_as_there_are_as_many():
    one_word = torch.tensor([[CLS, 6, SEP]])
    for seed in range(5):
        assert (numbered()(one_word, generator=seeded(seed))[1] != -100).tolist() == [[False, True, False]]
        texts = torch.tensor([[CLS, 6, 8, 10, 7, SEP], [CLS, SEP, PAD, PAD, PAD, PAD]])
        hidden = numbered()(texts, texts != PAD, generator=seeded(seed))[1] != -100
        assert 2 <= hidden.sum() <= 3 and hidden[0, 3] == hidden[0, 4]
        assert 1 <= (numbered(min_masked=0)(texts, generator=seeded(seed))[1] != -100).sum() <= 2
        assert (numbered(min_masked=99)(texts, generator=seeded(seed))[1] != -100).sum() == 4


def test_top_ups_are_single_words_of_one_text():
    ids = torch.tensor([[CLS, 6, 8, SEP, 7, SEP]])  # the last text begins without a blank
    for seed in range(20):
        assert (numbered(ratio=0.1, longest_span=1)(ids, generator=seeded(seed))[1] != -100).sum() == 2


@pytest.mark.parametrize(
    "ids",
    [
        torch.tensor([[CLS, SEP], [CLS, SEP]]),
        torch.full((2, 3), PAD),
        torch.empty(0, 5).long(),
        torch.empty(3, 0).long(),
    ],
)
def test_empty_texts(ids):
    masked, labels = numbered()(ids, (ids != PAD).long(), generator=seeded())
    assert torch.equal(masked, ids) and torch.equal(labels, torch.full_like(ids, -100))


def test_ratio_0_hides_nothing():
    masked, labels = numbered(ratio=0)(words_of(9, 2), generator=seeded())
    assert torch.equal(masked, words_of(9, 2)) and (labels == -100).all()


def test_padding_by_attention_mask_alone():
    """Where padding is not a special token."""
    ids = torch.full((4, 20), 6)
    mask = torch.ones_like(ids)
    mask[:, :12] = 0  # on the left
    hidden = numbered(ratio=1)(ids, mask, generator=seeded())[1] != -100
    assert torch.equal(hidden, mask.bool())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: numbered(ratio=1.5), "`ratio` of the masking is 1.5"),
        (lambda: numbered(mask_share=0.9, random_share=0.2), "sum to more than 1"),
        (lambda: numbered(span_p=0), "`span_p` 0"),
        (lambda: numbered(longest_span=0), "`longest_span` 0"),
        (lambda: replace(numbered(), replacement_ids=torch.empty(0)), "no `replacement_ids`"),
        (lambda: numbered()(torch.ones(3).long(), generator=seeded()), r"shape \(3,\)"),
        (lambda: numbered()(torch.ones(1, 3), generator=seeded()), "type torch.float32"),
        (lambda: numbered()(torch.tensor([[6, 100]]), generator=seeded()), "ids from 6 to 100"),
        (lambda: numbered()(words_of(2, 1), torch.ones(1, 3), generator=seeded()), "`attention_mask` is of shape"),
        (lambda: numbered()(words_of(2, 1), word_starts=torch.ones(1, 3), generator=seeded()), "`word_starts` is of"),
        (lambda: numbered()(words_of(2, 1), generator=row_generators([0, 1], 0)), "2 generators came with 1 rows"),
    ],
)
def test_bad_input_gets_one_sentence(make, message):
    with pytest.raises(BadInputError, match=message):
        make()


def test_a_tokenizer_without_mask_token():
    backend = Tokenizer(WordLevel({"[UNK]": 0, "cat": 1}, unk_token="[UNK]"))
    with pytest.raises(BadInputError, match="has no mask token"):
        WholeWordMasking.from_tokenizer(TokenizersBackend(tokenizer_object=backend, unk_token="[UNK]"))
