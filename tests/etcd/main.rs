//! The etcd half on a real etcd, in real time.
//!
//! | module | tests |
//! | --- | --- |
//! | `probe` | `EtcdProbe`: each fault is seen in time, and nothing else is |
//! | `cluster` | `Membership` and `Shards`: several nodes that share work |
//! | `prefix_watch` | `PrefixWatch`: values that stay current, and never trip for what passes by itself |
//! | `names` | a resolver that never answers |
//! | `warnings` | what is a warning in the log |

mod cluster;
mod names;
mod prefix_watch;
mod probe;
mod warnings;
