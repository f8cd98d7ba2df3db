"""What the base student is trained on is what it is asked later, word for word and pixel for pixel."""

import random

import numpy as np
import torch
from PIL import Image

from errata.tools.world.draw import draw_scene
from errata.tools.world.pretrain import Encoder, Example, orthogonalise, sample_example, to_pixels
from errata.tools.world.student_files import build_model, build_processor

torch.set_num_threads(1)


def test_examples_are_encoded_as_the_saved_processor_does():
    processor, rng = build_processor(), random.Random(0)
    encoder = Encoder(processor)
    for _ in range(30):
        example = sample_example(rng)
        batch = encoder.encode([example])
        turns = [
            {"role": "user", "content": [{"type": "text", "text": example.prompt}, {"type": "image"}]},
            {"role": "assistant", "content": [{"type": "text", "text": example.answer}]},
        ]
        text = processor.apply_chat_template(turns)
        told = processor(text=[text], images=[[Image.fromarray(draw_scene(example.scene))]], return_tensors="np")
        length = batch.ids.shape[1]
        assert told["input_ids"][0][:length].tolist() == batch.ids[0].tolist()
        assert processor.tokenizer.unk_token_id not in batch.ids[0]
        np.testing.assert_allclose(told["pixel_values"], to_pixels(batch.pictures).numpy(), atol=1e-6)


def test_only_the_answer_is_learned():
    processor = build_processor()
    example = sample_example(random.Random(1))
    batch = Encoder(processor).encode([example, Example("Describe row 1.", "red.", example.scene)])
    learned = [processor.tokenizer.decode(row[row >= 0]) for row in batch.labels]
    assert learned[0].replace(" ", "").startswith(example.answer.replace(" ", "")[:20])
    assert (batch.labels[1] >= 0).sum() == 3  # `red`, the full stop, the end


def test_the_model_has_the_promised_size_and_tied_embeddings():
    processor = build_processor()
    model = build_model(processor, folder=None)
    assert model.config.tie_word_embeddings
    assert model.config.text_config.tie_word_embeddings
    assert sum(w.numel() for w in model.parameters()) < 1.2e6


def test_muon_turns_every_direction_alike():
    stack = torch.randn(3, 8, 24, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(stack))
    assert values.min() > 0.5
    assert values.max() < 1.5
