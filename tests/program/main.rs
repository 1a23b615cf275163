//! The program `flatnet` as its users start it. One program of tests, because each is linked on its own.

mod bench_command;
mod cli;
mod common;
mod completions;
mod config;
mod evaluate;
mod export;
mod fetch;
mod inspect;
mod kinds;
mod own_data;
mod predict;
mod predict_kinds;
mod report;
mod resume;
mod runs;
mod streaming;
mod sweep;
mod tables;
mod tensorboard;
mod watching;
