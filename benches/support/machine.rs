//! A yardstick of the machine: how evenly it works while nothing else is asked of it.
//!
//! A virtual machine stands still, or works at a part of its speed, when its host has something else to do, and no counter of its
//! own need tell (steal stays 0). That is in every latency that is measured on it. So a loop of fixed work is counted in short
//! windows before anything is measured, on one core: with `--pin` that of the driver.
//!
//! What it did is then taken for a server: work comes in evenly, [`LOAD`] of what a window does in the median, and waits for what
//! came before. How long is the part of a latency at that load that is the machine's alone, told in the same measures.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use super::{
    report::{Cell, Table},
    slices::{Slices, quantile},
};

const WINDOW: Duration = Duration::from_millis(5);
/// 4 s of them.
const WINDOWS: u32 = 800;
/// A window is slow in which less than this share of the median was done.
const SLOW: f64 = 0.7;
/// The share of its capacity that a server is asked for when latencies are measured.
pub const LOAD: f64 = 0.7;

/// Measures the machine. Nothing else may run in this process meanwhile.
pub fn table() -> Table {
    let work = work();
    let median = quantile(&mut work.clone(), 0.5).unwrap_or_default();
    let slow = |work: &&f64| **work < SLOW * median;
    let share = work.iter().filter(slow).count() as f64 / f64::from(WINDOWS) * 100.0;
    let runs = work.chunk_by(|a, b| slow(&a) == slow(&b)).filter(|run| run.first().is_some_and(|a| slow(&a)));
    let longest = runs.map(|run| WINDOW.as_secs_f64() * run.len() as f64 * 1000.0).fold(0.0, f64::max);

    let mut backlog = 0.0;
    let waits: Vec<_> = work
        .iter()
        .map(|work| {
            backlog = f64::max(backlog + LOAD * median - work, 0.0);
            WINDOW.mul_f64(backlog / median)
        })
        .collect();
    let slices =
        Slices::cut(WINDOW * WINDOWS, (0..).map(|number| WINDOW * number).zip(waits.iter().copied()));
    let mut waits: Vec<_> = waits.iter().map(|wait| wait.as_secs_f64() * 1000.0).collect();

    let mut table =
        Table::new("The machine itself, idle: a loop of fixed work on one core", &["what", "measured"]);
    let mut enter = |name: &str, value| table.add(name, [Cell::Number(value, 1)]);
    enter("windows of 5 ms with less than 70 % of the median, %", share);
    enter("longest run of such windows, ms", longest);
    enter("wait at 70 % load, p99 of all, ms", quantile(&mut waits, 0.99).unwrap_or_default());
    enter("wait at 70 % load, p99 of a slice (median), ms", slices.median());
    enter("slices whose p99 is above 5 ms, %", slices.above(5.0));
    enter("slices whose p99 is above 2 ms, %", slices.above(2.0));
    table
}

/// How often each window had time for the same work. One in which this thread never ran has none.
fn work() -> Vec<f64> {
    let begun = Instant::now();
    let ends = (1..=WINDOWS).map(|number| WINDOW * number);
    ends.map(|end| {
        let mut count = 0.0;
        while begun.elapsed() < end {
            let mut state = 1_u64;
            for step in 0..2000 {
                // Each step needs the result of the one before: no compiler shortens it, and it takes some microseconds.
                state = black_box(state).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
            }
            black_box(state);
            count += 1.0;
        }
        count
    })
    .collect()
}
