"""What a network is trained on: crops of recordings, as a call would have brought them, normalised and augmented.

Which recordings there are, and normalisation itself, is data.py; rooms, noise and throats are augment.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from augment import DB, Augmenter
from data import FRAMES, LABELS, TRAINED, Cepstrum, Clip, FeatureSet, Normalisation


@dataclass
class Sums:
    """Of speech frames their number, sum and sum of squares [C]."""

    count: float
    total: np.ndarray
    square: np.ndarray

    @staticmethod
    def of(clip: Clip) -> "Sums":
        return Sums(clip.count, clip.total, clip.square)

    @staticmethod
    def all(parts: "list[Sums]") -> "Sums":
        return Sums(sum(p.count for p in parts), sum(p.total for p in parts), sum(p.square for p in parts))

    @staticmethod
    def measured(x: np.ndarray, speech: np.ndarray, count: float) -> "Sums":
        """As if `count` frames had been like the speech in x."""
        heard = x[speech] if speech.any() else x
        return Sums(count, heard.mean(0) * count, np.square(heard).mean(0) * count)

    def times(self, part: float) -> "Sums":
        return Sums(self.count * part, self.total * part, self.square * part)


class Batch(NamedTuple):
    features: np.ndarray
    """[size, C, 1, T]"""
    plain: np.ndarray
    """[size, C, 1, T]: what teachers hear, without drawn surroundings and masks."""
    mask: np.ndarray
    """[size, 1, 1, T]"""
    labels: np.ndarray
    """[size]"""
    allowed: np.ndarray
    """[size, labels]: whether the corpus has the label"""
    drawn: np.ndarray
    """[size, labels]: how much likelier than another label it was drawn in the teachers' training, log."""


# How often a recording is drawn, by its corpus; of others 0.6.
CORPUS_WEIGHT = {"ravdess": 1.3, "savee": 1.5, "emovo": 1.6, "emodb_first2s": 1.6, "tess": 0.25, "turevdb": 0.25, "banglaser": 0.5}


class Trainer:
    """Draws augmented training batches from the clips that are not held out."""

    def __init__(
        self,
        sets: list[FeatureSet],
        weights: list[float],
        held: Callable[[Clip], bool],
        normalisation: Normalisation,
        seed: int,
        args: dict,
    ):
        self.random = np.random.default_rng(seed)
        self.sets = sets
        self.args = args
        self.normalisation = normalisation
        self.clips: list[tuple[FeatureSet, Clip]] = []
        share: list[float] = []
        self.pools: dict[tuple[str, str, str], list[Clip]] = {}
        for feature_set, set_weight in zip(sets, weights, strict=True):
            chosen = [clip for clip in feature_set.clips if not held(clip)]
            sizes: dict[tuple[str, int], int] = {}
            for clip in chosen:
                sizes[(clip.corpus, clip.label)] = sizes.get((clip.corpus, clip.label), 0) + 1
                self.pools.setdefault((feature_set.name, clip.corpus, clip.speaker), []).append(clip)
            for clip in chosen:
                of_corpus = [n for (corpus, _), n in sizes.items() if corpus == clip.corpus]
                balance = (np.mean(of_corpus) / sizes[(clip.corpus, clip.label)]) ** args["balance"]
                self.clips.append((feature_set, clip))
                share.append(set_weight * CORPUS_WEIGHT.get(clip.corpus, 0.6) * balance)
        # A corpus says nothing of the labels it has no recordings of; that no other corpus is calm or bored is known.
        self.allowed: dict[str, np.ndarray] = {}
        for _, clip in self.clips:
            known = self.allowed.setdefault(clip.corpus, np.arange(len(TRAINED)) >= len(LABELS))
            known[clip.label] = True
        # How a network that was drawn labels by the root of their number leans to the frequent ones (log shares).
        self.drawn: dict[str, np.ndarray] = {}
        for corpus in self.allowed:
            of = np.bincount([clip.label for _, clip in self.clips if clip.corpus == corpus], minlength=len(TRAINED))
            root = np.sqrt(np.maximum(of, 1))
            self.drawn[corpus] = np.where(of > 0, np.log(root / root[of > 0].mean()), 0)
        self.share = np.cumsum(np.array(share) / np.sum(share))
        self.hidden: list[tuple[list[int], float]] = []
        for kind, _, part in (item.partition(":") for item in args["hide"].split(",") if item):
            names = tuple(kind.split("+"))
            channels = [c for c, name in enumerate(sets[0].channels) if name.startswith(names)]
            if not channels:
                raise SystemExit(f"--hide {kind}: there are no such features, only {' '.join(sets[0].channels)}")
            self.hidden.append((channels, float(part)))
        self.response = microphone_basis(sets[0].channels, sets[0].spec)
        self.augmenter = Augmenter(sets[0].channels, sets[0].spec) if args["surroundings"] > 0 else None

    def batch(self, size: int) -> Batch:
        channels = len(self.sets[0].channels)
        features = np.zeros((size, channels, 1, FRAMES), np.float32)
        plain = features.copy() if self.augmenter else features
        mask = np.zeros((size, 1, 1, FRAMES), np.float32)
        labels = np.zeros(size, np.int64)
        allowed = np.zeros((size, len(TRAINED)), bool)
        drawn = np.zeros((size, len(TRAINED)), np.float32)
        picks = np.searchsorted(self.share, self.random.random(size), side="right")
        for i, pick in enumerate(np.minimum(picks, len(self.clips) - 1)):
            feature_set, clip = self.clips[pick]
            x, unchanged = self.sample(feature_set, clip)
            features[i, :, 0, : len(x)] = x.T
            if self.augmenter:
                plain[i, :, 0, : len(x)] = unchanged.T
            mask[i, 0, 0, : len(x)] = 1
            labels[i] = clip.label
            allowed[i] = self.allowed[clip.corpus]
            drawn[i] = self.drawn[clip.corpus]
        return Batch(features, plain, mask, labels, allowed, drawn)

    def sample(self, feature_set: FeatureSet, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """One normalised, augmented crop [frames, C], and the same without what its surroundings and masks change."""
        random = self.random
        rate = random.uniform(0.85, 1.18) if random.random() < self.args["stretch"] else 1.0
        longest = min(FRAMES, int(clip.frames / rate))
        length = longest
        if random.random() < self.args["crop"]:
            length = int(random.uniform(min(80, longest), longest + 1))
        start = clip.first + random.uniform(0, max(0.0, clip.frames - length * rate))
        if rate == 1.0:
            low = int(start) + np.arange(length)
            x = feature_set.features[low[0] : low[0] + length].astype(np.float32)
        else:
            at = np.minimum(start + np.arange(length) * rate, clip.first + clip.frames - 1)
            low = at.astype(np.int64)
            part = (at - low)[:, None].astype(np.float32)
            high = np.minimum(low + 1, clip.first + clip.frames - 1)
            x = feature_set.features[low].astype(np.float32)
            x += (feature_set.features[high] - x) * part
        # What was heard of this window itself: on a call it is counted before it is judged.
        here = Sums.of(clip).times(min(1.0, length / clip.frames))
        others = self.heard_before(feature_set, clip)
        before = Sums.all([Sums.of(other) for other in others])
        offset = np.zeros(len(feature_set.channels))
        if random.random() < self.args["microphone"]:
            offset = random.standard_normal(len(self.response)) @ self.response
        unchanged = self.normalised(x, Sums.all([here, before]), offset)
        if self.augmenter and random.random() < self.args["surroundings"]:
            x, here, before = self.elsewhere(feature_set, x, feature_set.speech[low], others, here, before)
            changed = self.normalised(x, Sums.all([here, before]), offset)
        else:
            changed = unchanged.copy()
        self.hide(changed)
        return changed, unchanged

    def normalised(self, x: np.ndarray, heard: Sums, offset: np.ndarray) -> np.ndarray:
        """`offset`: what the microphone and its gain add to every frame."""
        total, square, count = heard.total, heard.square, heard.count
        square = square + 2 * offset * total + count * offset**2
        mean, std = self.normalisation.adapt(count, total + count * offset, square)
        return (x + (offset - mean).astype(np.float32)) / std.astype(np.float32)

    def heard_before(self, feature_set: FeatureSet, clip: Clip) -> list[Clip]:
        """Other recordings of the voice, as a call would have brought them; none when the call begins."""
        random = self.random
        heard: list[Clip] = []
        if random.random() <= self.args["cold"]:
            return heard
        wanted = np.exp(random.uniform(np.log(100), np.log(6000)))
        pool = self.pools[(feature_set.name, clip.corpus, clip.speaker)]
        kind = random.random()
        frames = 0.0
        for _ in range(40):
            other = pool[random.integers(len(pool))]
            # Calls are not balanced: sometimes only this emotion was heard before, sometimes only neutral speech.
            if kind < 0.12 and other.label != clip.label:
                continue
            if 0.12 <= kind < 0.24 and other.label != 4:
                continue
            heard.append(other)
            frames += other.count
            if frames >= wanted:
                break
        return heard

    def elsewhere(
        self, feature_set: FeatureSet, x: np.ndarray, spoken: np.ndarray, others: list[Clip], here: Sums, before: Sums
    ) -> tuple[np.ndarray, Sums, Sums]:
        """A crop and what was heard before it, through one drawn room, noise and throat."""
        random = self.random
        noise = self.clips[random.integers(len(self.clips))]
        there = self.augmenter.draw(random, noise[0].features[noise[1].first : noise[1].first + noise[1].frames])
        level = float(np.exp(here.total[-1] / max(here.count, 1) * DB))
        x = self.augmenter.apply(there, x, level)
        here = Sums.measured(x, spoken, here.count)
        # A few of them stand for all.
        some = others[:3]
        if some:
            parts = [slice(other.first, other.first + min(other.frames, 200)) for other in some]
            frames = np.concatenate([feature_set.features[part] for part in parts])
            speech = np.concatenate([feature_set.speech[part] for part in parts])
            before = Sums.measured(self.augmenter.apply(there, frames, level), speech, before.count)
        return x, here, before

    def hide(self, x: np.ndarray) -> None:
        """SpecAugment on normalised features: spans of time, groups of channels and kinds of them go to their mean, 0."""
        random = self.random
        for _ in range(2):
            if random.random() < self.args["time_mask"]:
                width = int(random.uniform(4, max(5, min(40, len(x) // 4))))
                at = random.integers(max(1, len(x) - width))
                x[at : at + width] = 0
            if random.random() < self.args["channel_mask"]:
                width = int(random.uniform(1, 12))
                at = random.integers(x.shape[1] - width)
                x[:, at : at + width] = 0
        for channels, share in self.hidden:
            if random.random() < share:
                x[:, channels] = 0
        if random.random() < 0.3:
            x += random.standard_normal(x.shape, np.float32) * np.float32(random.uniform(0, 0.2))


def microphone_basis(channels: list[str], spec: dict) -> np.ndarray:
    """Random gains and frequency responses as offsets of the features: [components, C], each one deviation strong.

    Component 0 is the gain (5 dB), component k a ripple of k half-waves over the bands: it moves the log-mel bands by that
    cosine, and MFCC k alone.
    """
    bands, ripples = spec["melBands"], 8
    cosines = Cepstrum(spec).cosines
    basis = np.zeros((1 + ripples, len(channels)))
    for k in range(1 + ripples):
        strength = 5.0 if k == 0 else 2.5 / k
        ripple = strength * np.cos(np.pi * k * (np.arange(bands) + 0.5) / bands)
        mfcc = ripple @ cosines
        for c, name in enumerate(channels):
            kind = name.rstrip("0123456789")
            number = int(name[len(kind) :] or 0)
            if kind == "energy":
                basis[k, c] = 5.0 if k == 0 else 0.0
            elif kind == "mel":
                basis[k, c] = ripple[number]
            elif kind == "mfcc":
                basis[k, c] = mfcc[number]
    return basis
