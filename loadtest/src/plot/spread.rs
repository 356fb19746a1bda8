//! One line over a logarithmic axis, as an SVG that stands in a page or by itself.

use std::fmt::Write as _;

use super::{escape, short, step};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
/// Left, right, top and bottom of the drawing.
const BOX: [f64; 4] = [72.0, 616.0, 40.0, 264.0];

/// A value with how far it went up and down.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Where on the axis; above 0, or the first.
    pub x: f64,
    pub y: f64,
    pub lowest: f64,
    pub highest: f64,
}

/// What is drawn.
#[derive(Debug)]
pub struct Plot<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    /// From left to right.
    pub points: &'a [Point],
}

impl Plot<'_> {
    /// The drawing.
    pub fn svg(&self) -> String {
        let [left, right, top, bottom] = BOX;
        let highest = self.points.iter().map(|point| point.highest);
        let highest = highest.fold(1.0, f64::max);
        let step = step(highest);
        let lines = (highest / step).ceil();
        let most = lines * step;
        let y = |value: f64| bottom - value / most * (bottom - top);
        let logs: Vec<f64> = self.points.iter().map(|point| position(point.x)).collect();
        let (first, last) = (logs.first(), logs.last());
        let (first, last) = (first.copied().unwrap_or(0.0), last.copied().unwrap_or(1.0));
        let width = (last - first).max(f64::MIN_POSITIVE);
        let x = |log: f64| left + (log - first) / width * (right - left);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\" role=\"img\">\n\
             <title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{left}\" y=\"22\" font-size=\"14\">{0}</text>\n",
            escape(self.title)
        );
        let text = |x: f64, y: f64, anchor: &str, text: &str| {
            let text = escape(text);
            format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
        };
        for line in 0..=lines as u32 {
            let value = step * f64::from(line);
            let at = y(value);
            svg += &format!(
                "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\n"
            );
            svg += &text(left - 8.0, at + 4.0, "end", &short(value));
        }
        let middle = f64::midpoint(left, right);
        svg += &text(middle, HEIGHT - 14.0, "middle", self.x);
        svg += &format!(
            "<text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            f64::midpoint(top, bottom),
            escape(self.y)
        );
        let mut line = String::new();
        for (point, log) in self.points.iter().zip(&logs) {
            let (at, value) = (x(*log), y(point.y));
            let _ = write!(line, "{at:.1},{value:.1} ");
            svg += &format!(
                "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#2563eb\"/>\n\
                 <circle cx=\"{at:.1}\" cy=\"{value:.1}\" r=\"4\" fill=\"#2563eb\"/>\n",
                y(point.lowest),
                y(point.highest)
            );
            svg += &text(at, bottom + 18.0, "middle", &short(point.x));
            svg += &text(at, value - 10.0, "middle", &short(point.y));
        }
        svg + &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#2563eb\" stroke-width=\"2\"/>\n</svg>\n",
            line.trim_end()
        )
    }
}

/// Where a value stands on the logarithmic axis; nothing stands a decade before 100.
fn position(value: f64) -> f64 {
    if value > 0.0 { value.log10() } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_in_the_drawing() {
        let points: Vec<Point> = [(10.0, 900.0), (1000.0, 4100.0), (1e6, 20.0)]
            .map(|(x, y)| Point {
                x,
                y,
                lowest: y * 0.9,
                highest: y * 1.1,
            })
            .to_vec();
        let svg = Plot {
            title: "a < b",
            x: "keys",
            y: "events/s",
            points: &points,
        }
        .svg();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN"));
        for number in svg.split("cx=\"").skip(1) {
            let number: f64 = number.split('"').next().unwrap().parse().unwrap();
            assert!((BOX[0]..=BOX[1]).contains(&number), "{number}");
        }
    }
}
