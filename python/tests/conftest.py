"""What holds for all tests."""

import os

# Before SciPy is imported: else scikit-learn's checks of its array API are skipped.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
