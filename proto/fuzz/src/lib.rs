//! Fuzzing of `sockeye-proto`: what each target does with its input is in [`bodies`].

pub mod bodies;
