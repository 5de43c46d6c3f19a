//! The catalog Synaxis routes over: three providers sell both models at different prices, all behind one address.

use std::net::SocketAddr;

use crate::{body, upstream::COUNTED};

/// The providers, with their prices in dollars per million tokens read and written.
const SHOPS: &[(&str, &str, &str)] = &[
    ("bench-dear", "2.50", "10.00"),
    ("bench-cheap", "0.15", "0.60"),
    ("bench-middle", "0.40", "1.60"),
];

/// What one call costs at the cheapest: 120 tokens read at 0.15, 48 written at 0.60 dollars per million.
pub(crate) const COST_NANO_USD: i64 = 120 * 150 + 48 * 600;

/// Returns the catalog file.
pub(crate) fn toml(upstream: SocketAddr) -> String {
    let models = [body::MODEL, body::LONG_MODEL];
    let mut text = String::new();
    for model in models {
        text.push_str(&format!(
            "[[models]]\nname = \"{model}\"\ncontext_window = 1000000\nmax_output = 8192\n\n"
        ));
    }
    for (shop, input, output) in SHOPS {
        text.push_str(&format!(
            "[[providers]]\nname = \"{shop}\"\ndialect = \"openai\"\nbase_url = \"http://{upstream}{COUNTED}/v1\"\n\n\
             [[credentials]]\nprovider = \"{shop}\"\ncredential = \"sk-{shop}\"\n\n"
        ));
        for model in models {
            text.push_str(&format!(
                "[[offers]]\nprovider = \"{shop}\"\nmodel = \"{model}\"\ntier = \"paid\"\n\
                 price = {{ input = \"{input}\", output = \"{output}\" }}\n\n"
            ));
        }
    }
    text
}
