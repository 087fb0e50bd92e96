//! The show itself, in real time: `script::play` is what `main` prints.
