//! Programs that use overwatch, and what they share.
