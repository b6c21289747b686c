//! The controllers against a real API server. The tests play everybody else: kubelet, scheduler, keeper, garbage collector.

mod cel;
mod crash;
mod jobs;
mod life;
mod process;
mod rights;
mod support;
mod tenants;
mod two_operators;
