//! Which charts a page has, made of one report or of two beside each other.

use crate::chart::{Chart, Dot, Line, Scale};
use crate::html::{CLASSES, millis, prefix};
use crate::report::{Latency, Percentile, Report};
use crate::series::SecondFigures;

/// A part of a last second shorter than this says too little about a rate to be drawn.
const PART_MIN_S: f64 = 0.2;

/// A latency distribution: all of it, and its figures.
type Distribution<'a> = (&'a [Percentile], &'a Latency);

/// The page's charts, in order; none without points.
pub fn charts(reports: &[&Report]) -> Vec<Chart> {
    let mut charts = vec![throughput(reports)];
    charts.push(distribution(
        "Latency by percentile",
        reports,
        |r| Some((r.distribution.as_slice(), &r.latency)),
        true,
    ));
    charts.push(latency_over_time("Latency over time", reports, |r| Some(&r.seconds)));
    if reports.iter().any(|r| r.reads.is_some()) {
        let of: fn(&Report) -> Option<Distribution<'_>> =
            |r| r.reads.as_ref().map(|reads| (reads.distribution.as_slice(), &reads.latency));
        charts.push(distribution("Latency of reads by percentile", reports, of, false));
        charts.push(latency_over_time("Latency of reads over time", reports, |r| {
            r.reads.as_ref().map(|reads| &reads.seconds)
        }));
    }
    let named = reports.iter().enumerate();
    charts.extend(named.filter_map(|(index, r)| rates(r, prefix(reports, index))));
    charts.retain(|chart| chart.lines.iter().any(|line| !line.points.is_empty()));
    charts
}

/// The counted seconds of the longest run.
fn longest(reports: &[&Report]) -> f64 {
    reports.iter().fold(0.0, |most, r| r.setup.duration_s.max(most))
}

fn throughput(reports: &[&Report]) -> Chart {
    let mut lines = Vec::new();
    for (index, report) in reports.iter().enumerate() {
        let class = CLASSES[index.min(1)];
        let name = prefix(reports, index);
        let of = |figure: fn(&SecondFigures) -> u64| rate_points(report, figure);
        if report.results.offered.is_some() {
            lines.push(Line {
                name: format!("{name}offered"),
                class: if reports.len() == 1 { "c2" } else { class },
                dashed: true,
                filled: false,
                points: of(|s| s.offered.unwrap_or(0)),
            });
        }
        lines.push(Line {
            name: format!("{name}answered"),
            class,
            dashed: false,
            filled: reports.len() == 1,
            points: of(|s| s.answered),
        });
        if report.seconds.iter().any(|s| s.failed > 0) {
            let points = of(|s| s.failed);
            let name = format!("{name}failed");
            lines.push(Line { name, class: "c3", dashed: index > 0, filled: false, points });
        }
    }
    Chart {
        title: "Throughput over time".into(),
        x_label: "seconds of the counted time",
        y_label: "transfers/s",
        x: Scale::Linear,
        x_max: longest(reports),
        y: Scale::Linear,
        mark: None,
        lines,
        dots: Vec::new(),
    }
}

/// A second's count at its middle; the last may be a part of one.
fn rate_points(report: &Report, of: fn(&SecondFigures) -> u64) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for (index, second) in report.seconds.iter().enumerate() {
        let length = (report.setup.duration_s - index as f64).min(1.0);
        if length >= PART_MIN_S {
            points.push((index as f64 + length / 2.0, of(second) as f64 / length));
        }
    }
    points
}

/// `limited` draws the limit of a search, which is for transfers.
fn distribution<'a>(
    title: &str,
    reports: &[&'a Report],
    of: fn(&'a Report) -> Option<Distribution<'a>>,
    limited: bool,
) -> Chart {
    let (mut lines, mut dots) = (Vec::new(), Vec::new());
    for (index, report) in reports.iter().enumerate() {
        let Some((all, latency)) = of(report) else { continue };
        let points = told(all);
        let class = CLASSES[index.min(1)];
        if reports.len() == 1 {
            dots = named(&points, latency);
        }
        let name = format!("{}latency of a request", prefix(reports, index));
        lines.push(Line { name, class, dashed: false, filled: false, points });
    }
    let search = reports.iter().find_map(|r| r.search.as_ref()).filter(|_| limited);
    Chart {
        title: title.into(),
        x_label: "percentile of requests",
        y_label: "ms",
        x: Scale::Percentile,
        x_max: 0.0,
        y: Scale::Log,
        mark: search.map(|s| (s.p99_limit_ms, format!("limit for p99: {} ms", s.p99_limit_ms))),
        lines,
        dots,
    }
}

/// The points that so many requests can tell: of a thousand, none beyond 99.9%.
fn told(all: &[Percentile]) -> Vec<(f64, f64)> {
    let total = all.last().map_or(1, |p| p.count).max(2) as f64;
    let most = (100.0 - 100.0 / total).min(99.9999);
    let mut points: Vec<_> = all.iter().map(|p| (p.percentile.min(most), p.latency_ms)).collect();
    // Beyond that there is the maximum, once.
    while points.len() >= 2 && points[points.len() - 2].0 >= most {
        points.remove(points.len() - 2);
    }
    points
}

/// The percentiles people ask for, on the line.
fn named(points: &[(f64, f64)], latency: &Latency) -> Vec<Dot> {
    let Some(last) = points.last().copied() else { return Vec::new() };
    let all = [
        (50.0, latency.p50_ms),
        (90.0, latency.p90_ms),
        (99.0, latency.p99_ms),
        (99.9, latency.p99_9_ms),
    ];
    // Two names need room beside each other.
    let apart =
        all.into_iter().filter(|(percentile, _)| 100.0 - percentile > 3.0 * (100.0 - last.0));
    let dot = |at: (f64, f64), text| Dot { at, class: CLASSES[0], text };
    let mut dots: Vec<Dot> = apart.map(|at| dot(at, millis(at.1))).collect();
    dots.push(dot(last, format!("max {}", millis(last.1))));
    dots
}

fn latency_over_time<'a>(
    title: &str,
    reports: &[&'a Report],
    of: fn(&'a Report) -> Option<&'a Vec<SecondFigures>>,
) -> Chart {
    let mut lines = Vec::new();
    for (index, report) in reports.iter().enumerate() {
        let Some(seconds) = of(report) else { continue };
        let points = |figure: fn(&SecondFigures) -> f64| {
            let with = seconds.iter().enumerate().filter(|(_, s)| s.requests > 0);
            with.map(|(at, s)| (at as f64 + 0.5, figure(s))).collect::<Vec<_>>()
        };
        let name = prefix(reports, index);
        let own =
            |single: &'static str| if reports.len() == 1 { single } else { CLASSES[index.min(1)] };
        let mut add = |what: &str, class, dashed, points| {
            lines.push(Line {
                name: format!("{name}{what}"),
                class,
                dashed,
                filled: false,
                points,
            });
        };
        if reports.len() == 1 {
            add("max", "c3", false, points(|s| s.max_ms));
        }
        add("p99", own("c1"), false, points(|s| s.p99_ms));
        add("p50", own("c0"), reports.len() > 1, points(|s| s.p50_ms));
    }
    Chart {
        title: title.into(),
        x_label: "seconds of the counted time",
        y_label: "ms",
        x: Scale::Linear,
        x_max: longest(reports),
        y: Scale::Log,
        mark: None,
        lines,
        dots: Vec::new(),
    }
}

/// Latency by the offered rate: of a ramp or a search.
fn rates(report: &Report, prefix: &str) -> Option<Chart> {
    let mut steps: Vec<(f64, f64, f64)> = match &report.search {
        Some(search) => search.steps.iter().map(|s| (s.rate, s.p50_ms, s.p99_ms)).collect(),
        None => report.ramp.iter().map(|s| (s.rate, s.p50_ms, s.p99_ms)).collect(),
    };
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let line = |name: &str, class, of: fn(&(f64, f64, f64)) -> f64| Line {
        name: name.into(),
        class,
        dashed: false,
        filled: false,
        points: steps.iter().map(|s| (s.0, of(s))).collect(),
    };
    let limit = report
        .search
        .as_ref()
        .map(|s| (s.p99_limit_ms, format!("limit for p99: {} ms", s.p99_limit_ms)));
    (!steps.is_empty()).then(|| Chart {
        title: format!("{prefix}Latency by offered rate"),
        x_label: "transfers/s offered",
        y_label: "ms",
        x: Scale::Linear,
        x_max: 0.0,
        y: Scale::Log,
        mark: limit,
        lines: vec![line("p99", "c1", |s| s.2), line("p50", "c0", |s| s.1)],
        dots: Vec::new(),
    })
}
