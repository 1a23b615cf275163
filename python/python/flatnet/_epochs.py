"""What hears of epochs: the lines of ``verbose`` and scikit-learn's callbacks."""

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9 has no callbacks
    CallbackSupportMixin = type("CallbackSupportMixin", (), {})

__all__ = ["CallbackSupportMixin", "Epochs"]


class Epochs:
    """Called with every epoch: prints, and tells the callbacks of an estimator.

    A callback that returns something true ends the training, as scikit-learn's
    own iterative estimators do it. Each epoch is a task of its own, below that of
    ``fit``.
    """

    def __init__(self, estimator, X, y, sample_weight):
        self._estimator = estimator
        self._task = {"X": X, "y": y}
        if sample_weight is not None:
            self._task["metadata"] = {"sample_weight": sample_weight}
        self._fit = self._epoch = None
        if getattr(estimator, "_skl_callbacks", None):
            self._fit = estimator._init_callback_context(max_subtasks=estimator.max_iter)
            self._fit.call_on_fit_task_begin(estimator=estimator, **self._task)
            self._begin(estimator.coefs_, estimator.intercepts_)

    @property
    def is_needed(self):
        """Whether anybody listens."""
        return bool(self._fit or self._estimator.verbose)

    def __call__(self, epoch, loss, score, coefs, intercepts):
        """Hear of an epoch; something true ends the training."""
        if self._estimator.verbose:
            print(f"Iteration {epoch}, loss = {loss:.8f}", flush=True)
            if score is not None:
                print(f"Validation score: {score:f}", flush=True)
        if self._fit is None:
            return False
        stop = self._end(coefs, intercepts)
        if not stop and epoch < self._estimator.max_iter:
            self._begin(coefs, intercepts)
        return stop

    def close(self):
        """End what has begun: an epoch that training did not come to, and ``fit``."""
        if self._fit is not None:
            coefs, intercepts = self._estimator.coefs_, self._estimator.intercepts_
            if self._epoch is not None:
                self._end(coefs, intercepts)
            self._fit.call_on_fit_task_end(
                estimator=self._estimator, **self._task, **self._fitted(coefs, intercepts)
            )

    @staticmethod
    def _fitted(coefs, intercepts):
        """What makes a copy of the estimator, which has the rest already, ready to predict."""
        return {"reconstruction_attributes": {"coefs_": coefs, "intercepts_": intercepts}}

    def _begin(self, coefs, intercepts):
        self._epoch = self._fit.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(
            estimator=self._estimator, **self._task, **self._fitted(coefs, intercepts)
        )

    def _end(self, coefs, intercepts):
        epoch, self._epoch = self._epoch, None
        return epoch.call_on_fit_task_end(
            estimator=self._estimator, **self._task, **self._fitted(coefs, intercepts)
        )
