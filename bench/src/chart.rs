//! Charts as SVG text, by hand: lines over a linear or a percentile axis, with round ticks, a
//! grid and units. Colours are classes that the page's style sheet sets for light and dark.

use std::fmt::Write as _;

/// The drawing's size, in its own units.
const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 300.0;

/// Room around the plot: for the y axis, the right edge, the top and the x axis.
const LEFT: f64 = 74.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 46.0;

/// How figures are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Evenly, from 0.
    Linear,
    /// By powers of ten.
    Log,
    /// Percentiles 0 to 100: every further nine as far as the one before.
    Percentile,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// Which colour class, `c0` and so on.
    pub class: &'static str,
    /// Drawn in dashes.
    pub dashed: bool,
    /// The area below is tinted.
    pub filled: bool,
    /// Points from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What the x axis counts.
    pub x_label: &'static str,
    /// What the y axis counts, with its unit.
    pub y_label: &'static str,
    /// The x axis.
    pub x: Scale,
    /// How far it reaches at least.
    pub x_max: f64,
    /// The y axis.
    pub y: Scale,
    /// A value of y with a line and a name of its own.
    pub mark: Option<(f64, String)>,
    /// The lines, the first behind.
    pub lines: Vec<Line>,
    /// Points that are named.
    pub dots: Vec<Dot>,
}

/// A named point.
#[derive(Clone, Debug)]
pub struct Dot {
    /// Where.
    pub at: (f64, f64),
    /// Which colour class.
    pub class: &'static str,
    /// Its name.
    pub text: String,
}

/// One axis: from value to place.
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    fn new(scale: Scale, values: impl Iterator<Item = f64>, ticks: usize) -> Self {
        let (low, high) = values.fold((f64::MAX, 0.0f64), |(a, b), v| (a.min(v), b.max(v)));
        match scale {
            Scale::Linear => {
                let step = round_step(high.max(1e-9) / ticks as f64);
                let high = (high / step).ceil().max(1.0) * step;
                let count = (high / step).round() as usize;
                Self {
                    scale,
                    low: 0.0,
                    high,
                    ticks: (0..=count).map(|i| i as f64 * step).collect(),
                }
            }
            Scale::Log => {
                let (low, high) = (low.min(high).max(1e-3), high.max(1e-3));
                let first = round_down(low);
                // A factor of ten at least, or a flat line would fill the drawing.
                let last = round_step(high).max(round_step(first * 10.0));
                let fine = last / first <= 500.0;
                let ticks = std::iter::successors(Some(first), |t| Some(next_round(*t, fine)));
                let ticks = ticks.take_while(|t| *t <= last * 1.001).collect();
                Self { scale, low: first.log10(), high: last.log10(), ticks }
            }
            Scale::Percentile => {
                let all = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];
                let high = nine(high.min(99.9999)).max(1.0);
                let ticks = all.into_iter().filter(|p| nine(*p) <= high + 1e-6).collect();
                Self { scale, low: 0.0, high, ticks }
            }
        }
    }

    /// 0 at the low end, 1 at the high one.
    fn share(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(1e-3).log10(),
            Scale::Percentile => nine(value),
        };
        ((place - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// How many nines a percentile has: 0 → 0, 90 → 1, 99 → 2.
fn nine(percentile: f64) -> f64 {
    -(1.0 - percentile.min(99.9999) / 100.0).log10()
}

/// The largest power of ten, twice or five times one, that is at most `value`.
fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let rest = value / power;
    [5.0, 2.0, 1.0].into_iter().find(|r| rest >= *r - 1e-9).unwrap_or(1.0) * power
}

/// The next tick of a logarithmic axis: 1, 2, 5, 10 where `fine`, else powers of ten.
fn next_round(tick: f64, fine: bool) -> f64 {
    let power = 10f64.powf((tick.log10() + 1e-9).floor());
    match tick / power {
        rest if fine && rest < 1.5 => 2.0 * power,
        rest if fine && rest < 3.0 => 5.0 * power,
        _ => 10.0 * power,
    }
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let rest = step / power;
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().find(|r| rest <= *r + 1e-9);
    round.unwrap_or(10.0) * power
}

impl Chart {
    /// The chart as a `<figure>` with legend and drawing.
    pub fn figure(&self) -> String {
        let mut out = String::from("<figure>");
        let title = escape(&self.title);
        let _ = write!(out, "<figcaption><b>{title}</b><span class=legend>");
        for line in &self.lines {
            let dash = if line.dashed { " dash" } else { "" };
            let name = escape(&line.name);
            let _ = write!(out, "<span><i class=\"key {}{dash}\"></i>{name}</span>", line.class);
        }
        out.push_str("</span></figcaption>");
        out.push_str(&self.svg());
        out.push_str("</figure>");
        out
    }

    fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let x = Axis::new(self.x, points().map(|p| p.0).chain([self.x_max]), 8);
        let marked = self.mark.iter().map(|(value, _)| *value);
        let y = Axis::new(self.y, points().map(|p| p.1).chain(marked), 5);
        let right = WIDTH - RIGHT;
        let bottom = HEIGHT - BOTTOM;
        let at_x = |value: f64| LEFT + x.share(value) * (right - LEFT);
        let at_y = |value: f64| bottom - y.share(value) * (bottom - TOP);
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{}\">",
            escape(&self.title)
        );
        for tick in &y.ticks {
            let place = at_y(*tick);
            let _ = write!(
                out,
                "<path class=grid d=\"M{LEFT} {place:.1}H{right}\"/><text x={:.1} y={:.1} \
                 class=\"tick end\">{}</text>",
                LEFT - 8.0,
                place + 4.0,
                short(*tick)
            );
        }
        for tick in &x.ticks {
            let place = at_x(*tick);
            let text = if self.x == Scale::Percentile { percent(*tick) } else { short(*tick) };
            let _ = write!(
                out,
                "<path class=grid d=\"M{place:.1} {TOP}V{bottom}\"/><text x={place:.1} y={:.1} \
                 class=\"tick mid\">{text}</text>",
                bottom + 18.0
            );
        }
        let _ = write!(
            out,
            "<text x={LEFT} y=14 class=unit>{}</text><text x={right} y={:.1} class=\"unit end\">\
             {}</text>",
            self.y_label,
            HEIGHT - 6.0,
            self.x_label
        );
        for line in &self.lines {
            draw(&mut out, line, bottom, &at_x, &at_y);
        }
        for dot in &self.dots {
            let (x, y) = (at_x(dot.at.0), at_y(dot.at.1));
            let anchor = if x > right - 90.0 { "end" } else { "mid" };
            let _ = write!(
                out,
                "<circle class=\"dot {}\" cx={x:.1} cy={y:.1} r=4 /><text x={x:.1} y={:.1} \
                 class=\"name {anchor}\">{}</text>",
                dot.class,
                y - 10.0,
                escape(&dot.text)
            );
        }
        if let Some((value, name)) = &self.mark {
            let place = at_y(*value);
            let _ = write!(
                out,
                "<path class=mark d=\"M{LEFT} {place:.1}H{right}\"/><text x={:.1} y={:.1} \
                 class=\"unit\">{}</text>",
                LEFT + 8.0,
                // Above the line, unless the axis has its name there.
                if place < TOP + 18.0 { place + 15.0 } else { place - 6.0 },
                escape(name)
            );
        }
        out.push_str("</svg>");
        out
    }
}

fn draw(
    out: &mut String,
    line: &Line,
    bottom: f64,
    at_x: &impl Fn(f64) -> f64,
    at_y: &impl Fn(f64) -> f64,
) {
    let mut path = String::new();
    for (index, (x, y)) in line.points.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{:.1} {:.1}", at_x(*x), at_y(*y));
    }
    let (Some(first), Some(last)) = (line.points.first(), line.points.last()) else { return };
    if line.filled {
        let (from, to) = (at_x(first.0), at_x(last.0));
        let _ = write!(
            out,
            "<path class=\"area {}\" d=\"{path}L{to:.1} {bottom}L{from:.1} {bottom}Z\"/>",
            line.class
        );
    }
    let dash = if line.dashed { " dash" } else { "" };
    let _ = write!(out, "<path class=\"line {}{dash}\" d=\"{path}\"/>", line.class);
    if line.points.len() == 1 {
        let (x, y) = (at_x(first.0), at_y(first.1));
        let _ = write!(out, "<circle class=\"dot {}\" cx={x:.1} cy={y:.1} r=4 />", line.class);
    }
}

/// A number for an axis: `1.2M`, `250k`, `0.5`.
fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let mut text = format!("{scaled:.3}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text + unit
}

fn percent(value: f64) -> String {
    match value {
        // The line begins with the least latency; the name would meet that of p50.
        0.0 => String::new(),
        v => format!("p{v}"),
    }
}

/// Text as HTML shows it.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_ticks_that_cover_their_values() {
        let linear = Axis::new(Scale::Linear, [0.0, 1_437_000.0].into_iter(), 5);
        assert_eq!(linear.ticks, [0.0, 500_000.0, 1_000_000.0, 1_500_000.0]);
        let log = Axis::new(Scale::Log, [0.8, 37.0].into_iter(), 5);
        let rounded: Vec<_> = log.ticks.iter().map(|t| short(*t)).collect();
        assert_eq!(rounded, ["0.5", "1", "2", "5", "10", "20", "50"]);
        let wide = Axis::new(Scale::Log, [0.1, 900.0].into_iter(), 5);
        let rounded: Vec<_> = wide.ticks.iter().map(|t| short(*t)).collect();
        assert_eq!(rounded, ["0.1", "1", "10", "100", "1k"]);
        let percentile = Axis::new(Scale::Percentile, [0.0, 99.95].into_iter(), 5);
        assert_eq!(percentile.ticks, [0.0, 50.0, 90.0, 99.0, 99.9]);
        assert!((percentile.share(90.0) - percentile.share(0.0) / 1.0 - 0.303).abs() < 0.01);
        // One value, or none but zeroes, still makes an axis.
        for values in [vec![0.0], vec![5.0], vec![]] {
            for scale in [Scale::Linear, Scale::Log, Scale::Percentile] {
                let axis = Axis::new(scale, values.iter().copied(), 5);
                assert!(axis.share(1.0).is_finite() && !axis.ticks.is_empty(), "{scale:?}");
            }
        }
    }

    #[test]
    fn numbers_on_axes_are_short() {
        let texts: Vec<_> = [0.0, 0.001, 2.5, 1500.0, 1.2e6].map(short).into();
        assert_eq!(texts, ["0", "0.001", "2.5", "1.5k", "1.2M"]);
    }

    #[test]
    fn names_cannot_break_out_of_the_drawing() {
        let line = Line {
            name: "<script>\"x\"</script>".into(),
            class: "c0",
            dashed: false,
            filled: true,
            points: vec![(0.0, 1.0), (1.0, 2.0)],
        };
        let chart = Chart {
            title: "a & b".into(),
            x_label: "s",
            y_label: "ms",
            x: Scale::Linear,
            x_max: 0.0,
            y: Scale::Linear,
            mark: Some((1.5, "<limit>".into())),
            lines: vec![line],
            dots: vec![Dot { at: (0.5, 1.5), class: "c0", text: "<i>".into() }],
        };
        let figure = chart.figure();
        assert!(figure.contains("&lt;script&gt;") && !figure.contains("<script"), "{figure}");
        assert!(
            figure.contains("a &amp; b") && !figure.contains("<limit>") && !figure.contains("<i>"),
            "{figure}"
        );
    }
}
