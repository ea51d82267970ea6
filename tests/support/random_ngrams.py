"""Random back-off models, not normalised, and their costs word by word from dictionaries."""

import numpy as np

from asrtool.lm.model import NgramModel
from asrtool.lm.text import BOS_ID, EOS_ID, Vocabulary


def random_model(seed, order, num_words=6, share=0.4, unknown_word=None):
    """Of the possible n-grams a share; the last words of an n-gram need not be one (as after pruning); some weights are 0."""
    random = np.random.default_rng(seed)
    vocabulary = Vocabulary([f"w{number}" for number in range(num_words)], unknown_word)
    size = len(vocabulary)
    model = NgramModel(vocabulary, [], [random.uniform(-3, -0.2, size)], [])
    model.log10_prob[0][BOS_ID] = -99.0
    may_continue = np.arange(size) != EOS_ID
    for _ in range(2, order + 1):
        weights = np.where(
            may_continue & (random.random(len(may_continue)) < 0.7), random.uniform(-1.5, 0.3, len(may_continue)), 0.0
        )
        model.log10_backoff.append(weights)
        keys = (np.flatnonzero(may_continue)[:, None] * size + np.arange(1, size)).ravel()
        keys = keys[random.random(len(keys)) < share]
        model.keys.append(keys)
        model.log10_prob.append(random.uniform(-3, -0.1, len(keys)))
        may_continue = keys % size != EOS_ID
    return model


class SlowModel:
    """ln p straight from the definition of a back-off model."""

    def __init__(self, model):
        self.order = model.order
        self.prob, self.weight = {}, {}
        for n in range(1, model.order + 1):
            for index, ngram in enumerate(map(tuple, model.ngram_words(n).tolist())):
                self.prob[ngram] = model.log10_prob[n - 1][index]
                if n < model.order:
                    self.weight[ngram] = model.log10_backoff[n - 1][index]
        self.contexts = {ngram[:-1] for ngram in self.prob} | {ngram for ngram, weight in self.weight.items() if weight}

    def cost(self, history, word):
        """-ln p(word | history), any number of words in the history."""
        history = tuple(history)[-(self.order - 1) :] if self.order > 1 else ()
        total = 0.0
        while (*history, word) not in self.prob:
            total += self.weight.get(history, 0.0)
            history = history[1:]
        return -np.log(10.0) * (total + self.prob[*history, word])

    def context(self, history):
        """The longest end of a history that the model tells apart: with continuations or a back-off weight."""
        history = tuple(history)
        while history not in self.contexts and history:
            history = history[1:]
        return history

    def sentence(self, words):
        """-ln p(words </s> | <s>)"""
        tokens = [BOS_ID, *words, EOS_ID]
        return sum(self.cost(tokens[:place], tokens[place]) for place in range(1, len(tokens)))
