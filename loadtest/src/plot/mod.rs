//! Drawings of what was measured, as SVG, and what they and the pages around them have in common.

pub mod spread;
pub mod time;

/// A round step of which three to six lead to `most`.
pub fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most / 5.0).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    steps
        .into_iter()
        .find(|step| most / step <= 6.0)
        .unwrap_or(power * 10.0)
}

/// A number as short as it can be read.
pub fn short(value: f64) -> String {
    let (value, suffix) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        size if size >= 100.0 || size.fract() == 0.0 => 0,
        size if size >= 1.0 => 1,
        size if size >= 0.1 => 2,
        _ => 3,
    };
    format!("{value:.digits$}{suffix}")
}

/// Text as it stands in a page or a drawing.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.25, 0.002, 3.129, 42.0, 1234.5, 25_000.0, 3_200_000.0];
        let short: Vec<String> = numbers.into_iter().map(short).collect();
        assert_eq!(
            short,
            ["0", "0.25", "0.002", "3.1", "42", "1234", "25k", "3.2M"]
        );
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
