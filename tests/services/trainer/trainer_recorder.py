"""A recorder without a GPU: what it records is computed again at every replay, from the fixed addresses alone."""

import torch


class EagerRecording:
    def __init__(self, work):
        self._work, self._out, self.dropped = work, None, False
        self.replays = 0

    def forward(self):
        assert not self.dropped
        self._out = self._work.forward()
        self.replays += 1

    def backward(self):
        assert not self.dropped
        self._work.backward(self._out)
        self._out = None

    def drop(self):
        self.dropped = True


class EagerRecorder:
    """`failures` are raised one after the other by the next recordings; None records."""

    def __init__(self, *failures):
        self.recordings, self.failures, self.drops = [], list(failures), 0

    def record(self, work):
        work.gradients(work.forward())
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        work.hidden.fill_(torch.nan)  # a capture leaves no numbers
        self.recordings.append(EagerRecording(work))
        return self.recordings[-1]

    def drop(self):
        assert all(one.dropped for one in self.recordings)
        self.drops += 1

    @property
    def replays(self):
        return [one.replays for one in self.recordings]
