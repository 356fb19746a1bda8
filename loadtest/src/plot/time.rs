//! Lines over time, as SVG that stands in a page: colours and type are the page's.

use std::fmt::Write;

use super::{short, step};

/// Size of the drawing.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 250.0;
/// Room for the labels of the axes.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// A line.
pub struct Line {
    /// What it shows.
    pub name: &'static str,
    /// CSS class, which says how it looks.
    pub class: &'static str,
    /// Its height at each time; `None`: there is none.
    pub values: Vec<Option<f64>>,
}

/// Some lines over the same times.
pub struct Plot {
    /// Unit of the heights.
    pub unit: &'static str,
    /// Whether heights are shown by their logarithm.
    pub logarithmic: bool,
    /// The times, in seconds.
    pub seconds: Vec<f64>,
    /// What is shown.
    pub lines: Vec<Line>,
    /// Times at which something else begins.
    pub marks: Vec<f64>,
    /// The time before this one does not count.
    pub counted_from: f64,
    /// Heights that should not be passed, with what they are of.
    pub limits: Vec<(&'static str, f64)>,
}

/// How a height becomes a place.
struct Scale {
    least: f64,
    most: f64,
    logarithmic: bool,
}

impl Scale {
    fn of(plot: &Plot) -> Self {
        let values = plot.lines.iter().flat_map(|line| &line.values).flatten();
        let limits = plot.limits.iter().map(|(_, limit)| limit);
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.chain(limits) {
            if *value > 0.0 {
                least = least.min(*value);
            }
            most = most.max(*value);
        }
        match plot.logarithmic {
            // Whole powers of ten, and one at least.
            true if most > 0.0 => {
                let (low, high) = (least.log10().floor(), most.log10().ceil());
                Self {
                    least: 10_f64.powf(low),
                    most: 10_f64.powf(high.max(low + 1.0)),
                    logarithmic: true,
                }
            }
            _ => {
                let step = step(most.max(1.0));
                Self {
                    least: 0.0,
                    most: (most.max(1.0) / step).ceil() * step,
                    logarithmic: false,
                }
            }
        }
    }

    fn share(&self, value: f64) -> f64 {
        match self.logarithmic {
            true => (value.max(self.least) / self.least).ln() / (self.most / self.least).ln(),
            false => (value - self.least) / (self.most - self.least),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        let mut ticks = vec![self.least];
        let step = step(self.most);
        while let Some(last) = ticks.last().copied()
            && last < self.most * 0.999
        {
            ticks.push(match self.logarithmic {
                true => last * 10.0,
                false => last + step,
            });
        }
        ticks
    }
}

impl Plot {
    /// The drawing.
    pub fn svg(&self, title: &str) -> String {
        let mut svg =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n");
        // Writing to a string cannot fail.
        let _ = self.draw(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn draw(&self, svg: &mut String) -> std::fmt::Result {
        let scale = Scale::of(self);
        let end = self.seconds.last().copied().unwrap_or(1.0).max(1.0);
        let x = |seconds: f64| LEFT + (WIDTH - LEFT - RIGHT) * (seconds / end).clamp(0.0, 1.0);
        let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * scale.share(value);
        let bottom = HEIGHT - BOTTOM;
        if self.counted_from > 0.0 {
            let width = x(self.counted_from) - LEFT;
            writeln!(
                svg,
                "<rect class=\"uncounted\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{width:.1}\" \
                 height=\"{:.1}\"/>",
                bottom - TOP
            )?;
        }
        for tick in scale.ticks() {
            let at = y(tick);
            writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0,
                short(tick)
            )?;
        }
        let step = step(end);
        let mut tick = 0.0;
        while tick <= end {
            let at = x(tick);
            writeln!(
                svg,
                "<text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} s</text>",
                bottom + 18.0,
                short(tick)
            )?;
            tick += step;
        }
        for mark in &self.marks {
            let at = x(*mark);
            writeln!(
                svg,
                "<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"
            )?;
        }
        for (name, limit) in &self.limits {
            let at = y(*limit);
            writeln!(
                svg,
                "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"tick broken\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">limit of {name}: {} {}</text>",
                WIDTH - RIGHT,
                WIDTH - RIGHT - 4.0,
                at - 5.0,
                short(*limit),
                self.unit
            )?;
        }
        for line in &self.lines {
            // A gap in the values is a gap in the line.
            let (mut path, mut is_drawing) = (String::new(), false);
            for (seconds, value) in self.seconds.iter().zip(&line.values) {
                if let Some(value) = value {
                    let letter = if is_drawing { 'L' } else { 'M' };
                    write!(path, "{letter}{:.1} {:.1}", x(*seconds), y(*value))?;
                }
                is_drawing = value.is_some();
            }
            writeln!(svg, "<path class=\"line {}\" d=\"{path}\"/>", line.class)?;
        }
        // What a pointer shows: all values of a time.
        let mut before = 0.0;
        for (at, seconds) in self.seconds.iter().enumerate() {
            let (left, right) = (x(before), x(*seconds));
            before = *seconds;
            write!(
                svg,
                "<rect class=\"hover\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\">\
                 <title>{seconds:.0} s",
                right - left,
                bottom - TOP
            )?;
            for line in &self.lines {
                if let Some(Some(value)) = line.values.get(at) {
                    write!(svg, "\n{}: {} {}", line.name, short(*value), self.unit)?;
                }
            }
            writeln!(svg, "</title></rect>")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_highest_value() {
        for most in [0.0, 0.7, 9.0, 10.0, 11.0, 450.0, 1234.0, 98_765.0] {
            let plot = Plot {
                unit: "",
                logarithmic: false,
                seconds: vec![1.0],
                lines: vec![Line {
                    name: "",
                    class: "",
                    values: vec![Some(most)],
                }],
                marks: Vec::new(),
                counted_from: 0.0,
                limits: Vec::new(),
            };
            let ticks = Scale::of(&plot).ticks();
            assert!((3..=8).contains(&ticks.len()), "{most}: {ticks:?}");
            assert!(ticks[ticks.len() - 1] >= most, "{most}: {ticks:?}");
        }
        assert_eq!(step(100.0), 20.0);
        assert_eq!(step(60.0), 10.0);
    }

    #[test]
    fn a_line_has_gaps_where_there_is_nothing() {
        let values = vec![Some(1.0), None, Some(100.0), Some(0.5)];
        let plot = Plot {
            unit: "ms",
            logarithmic: true,
            seconds: vec![1.0, 2.0, 3.0, 4.0],
            lines: vec![Line {
                name: "p50",
                class: "a",
                values,
            }],
            marks: vec![2.0],
            counted_from: 1.0,
            limits: vec![("p50", 2000.0)],
        };
        let svg = plot.svg("latency");
        let path = svg.lines().find(|line| line.starts_with("<path")).unwrap();
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 1, "{path}");
        assert!(svg.contains("p50: 100 ms") && !svg.contains("NaN"));
        let ticks = Scale::of(&plot).ticks();
        // Up to the limit.
        assert_eq!(ticks.len(), 6, "{ticks:?}");
        assert!(svg.contains("limit of p50: 2000 ms"), "{svg}");
    }
}
