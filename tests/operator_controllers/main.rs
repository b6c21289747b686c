//! The controllers against a real API server. The tests play everybody else: kubelet, scheduler, keeper, garbage collector.

mod cel;
mod crash;
mod frozen;
mod guides;
mod held;
mod history;
mod jobs;
mod life;
mod memory;
mod next_version;
mod no_regions;
mod process;
mod pull_secrets;
mod queue;
mod rights;
mod size;
mod strangers;
mod support;
mod tenants;
mod tokens;
mod two_operators;
mod validate;
mod walls;
