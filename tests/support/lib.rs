#![forbid(unsafe_code)]
//! What the tests on a real etcd share. It is for tests: what fails here panics.
//!
//! | module | what it offers |
//! | --- | --- |
//! | [`etcd`] | servers and clusters, started on free ports, that can be killed, hung, restarted and wiped |
//! | [`pki`] | certificates that are made for one test |
//! | [`proxy`] | a TCP proxy that delays, holds back or ends connections |
//! | [`observe`] | observations of a probe with a deadline, and what it logs |
//! | [`metrics`] | what a server says of its requests and watchers, and the kernel of its CPU time |

pub mod etcd;
pub mod metrics;
pub mod observe;
pub mod pki;
pub mod proxy;
