//! The page as text. Everything that comes from outside is escaped.

use crate::api::{Item, Items, Orders};
use crate::settings::{Layout, Settings};

const STYLE: &str = include_str!("page.css");
/// Shows a new version, and new orders, without being asked.
const SCRIPT: &str = include_str!("page.js");

/// The whole page. What is absent could not be reached.
pub(super) fn html(
    settings: &Settings,
    items: Option<&Items>,
    orders: Option<&Orders>,
    placed: Option<i64>,
) -> String {
    let title = escape(&settings.title);
    let environment = escape(&settings.environment);
    let version = escape(&settings.version);
    let layout = match settings.layout {
        Layout::List => "list",
        Layout::Cards => "cards",
    };
    let notice = match placed {
        Some(number) => format!("<p class=notice role=status>Thank you! Order {number} is placed.</p>"),
        None => String::new(),
    };
    let shelf = match items {
        Some(items) => items.items.iter().map(item).collect(),
        None => "<p class=away>The catalog cannot be reached. Please try again.</p>".to_owned(),
    };
    let count = match orders {
        Some(orders) => format!("<b id=orders>{}</b> {}", orders.count, of_orders(orders.count)),
        None => "<span class=away>the checkout cannot be reached</span>".to_owned(),
    };
    let parts = [
        ("web", Some((&settings.pod, &settings.version))),
        ("catalog", items.map(|items| (&items.pod, &items.version))),
        ("checkout", orders.map(|orders| (&orders.pod, &orders.version))),
    ];
    let parts: String = parts.iter().map(|(name, answer)| part(name, *answer)).collect();
    format!(
        "<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content=\"width=device-width, initial-scale=1\">
<title>{title} – {environment} {version}</title>
<link rel=icon href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ctext y='13' font-size='13'%3E🛍%3C/text%3E%3C/svg%3E\">
<style>:root {{ --accent: {colour} }}
{STYLE}</style>
<body class={layout} data-version=\"{version}\">
<header>
  <div class=bar><span class=environment>{environment}</span><span class=version>version {version}</span></div>
  <h1>{title}</h1>
  <p class=count>{count} so far</p>
</header>
<main>
{notice}
<section class=shelf>
{shelf}</section>
</main>
<footer>
  <h2>Who answered</h2>
  <table>{parts}</table>
</footer>
<script>{SCRIPT}</script>
",
        colour = settings.colour,
    )
}

fn of_orders(count: i64) -> &'static str {
    if count == 1 { "order" } else { "orders" }
}

fn item(item: &Item) -> String {
    format!(
        "<article><span class=picture aria-hidden=true>{}</span><div class=text><h3>{}</h3><p>{}</p></div>\
         <span class=price>€ {}.{:02}</span>\
         <form method=post action=\"/buy?item={id}\"><button aria-label=\"Buy {name}\">Buy</button></form></article>\n",
        escape(&item.picture),
        escape(&item.name),
        escape(&item.description),
        item.price / 100,
        item.price % 100,
        id = escape(&item.id),
        name = escape(&item.name),
    )
}

fn part(name: &str, answer: Option<(&String, &String)>) -> String {
    match answer {
        Some((pod, version)) => {
            format!("<tr><th>{name}<td>{}<td><code>{}</code></tr>", escape(version), escape(pod))
        }
        None => format!("<tr><th>{name}<td>–<td class=away>cannot be reached</tr>"),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
