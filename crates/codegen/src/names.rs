//! How names of schemas and topics become names of Rust, and which names are allowed.

/// `orderId`, `order-id` and `ORDER_ID` become `order_id`.
pub fn snake_case(name: &str) -> String {
    let mut out = String::new();
    let mut after_lower = false;
    for c in name.chars() {
        if c == '-' {
            out.push('_');
        } else {
            if c.is_ascii_uppercase() && after_lower {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        }
        after_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    out
}

/// `UsageMeter` becomes `usage-meter`.
pub fn kebab_case(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// `product-reservations` becomes `ProductReservations`, `AT_LEAST_ONCE` becomes `AtLeastOnce`.
pub fn pascal_case(name: &str) -> String {
    name.split(['-', '_', '.'])
        .map(|part| {
            let shouted = !part.chars().any(|c| c.is_ascii_lowercase());
            let mut chars = part.chars();
            let first = chars.next().map(|c| c.to_ascii_uppercase());
            let rest = chars.map(|c| if shouted { c.to_ascii_lowercase() } else { c });
            first.into_iter().chain(rest).collect::<String>()
        })
        .collect()
}

/// The Rust identifier for a name that is in the right case already.
pub fn identifier(name: &str) -> String {
    match name {
        "self" | "super" | "crate" | "Self" | "_" => format!("{name}_"),
        _ if KEYWORDS.contains(&name) => format!("r#{name}"),
        _ => name.to_owned(),
    }
}

/// Whether Avro allows `name` as a name without namespace.
pub fn is_avro_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether `name` can name a Rust type as it stands.
pub fn is_type_name(name: &str) -> bool {
    is_avro_name(name) && name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains('_')
}

/// Whether `name` can name a Rust module as it stands.
pub fn is_module_name(name: &str) -> bool {
    is_avro_name(name) && !name.contains(|c: char| c.is_ascii_uppercase())
}

/// Whether `name` is of the form `like-this`.
pub fn is_kebab_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.split('-').all(|part| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

/// Splits a full name into namespace and name.
pub fn split(full_name: &str) -> (&str, &str) {
    full_name.rsplit_once('.').unwrap_or(("", full_name))
}

const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_case() {
        assert_eq!(snake_case("orderId"), "order_id");
        assert_eq!(snake_case("product-reservations"), "product_reservations");
        assert_eq!(snake_case("HTTP_code2"), "http_code2");
        assert_eq!(pascal_case("product-reservations"), "ProductReservations");
        assert_eq!(pascal_case("AT_LEAST_ONCE"), "AtLeastOnce");
        assert_eq!(pascal_case("twoPhase"), "TwoPhase");
        assert_eq!(identifier("type"), "r#type");
        assert_eq!(identifier("self"), "self_");
    }

    #[test]
    fn kebab_case_is_recognised() {
        assert!(is_kebab_case("db-users2"));
        for bad in [
            "",
            "Db",
            "db--users",
            "db-",
            "-db",
            "2db",
            "db_users",
            "db.users",
        ] {
            assert!(!is_kebab_case(bad), "{bad}");
        }
    }
}
