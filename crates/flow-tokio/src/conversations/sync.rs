//! What the hub is synchronised with, so that a test can put a model checker's in its place.

pub(super) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
