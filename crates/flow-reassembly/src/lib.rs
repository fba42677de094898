//! Ordered TCP streams from segments: overlap policy, gaps, budgets.
