//! Each law bites.
