//! Runs a scenario against one server.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Answer, Events, Request, Server};
use crate::scenario::{Scenario, Step, Until};

/// Values that earlier answers gave: `$name` in later steps.
type Variables = BTreeMap<String, String>;

/// How long a repeated request waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(40);

/// The answers, one for each step, not normalised yet.
pub(crate) async fn run(scenario: &Scenario, server: &Server) -> Vec<Answer> {
    let mut variables = Variables::from([("ns".to_owned(), scenario.name.clone())]);
    if scenario.namespace {
        let step = Step::new("POST namespaces").body(json!({"metadata": {"name": scenario.name}}));
        let answer = server.send(&request(&step, &variables)).await;
        assert_eq!(answer.code, 201, "{}: no namespace: {}", scenario.name, answer.body);
    }
    let mut watches: HashMap<String, Events> = HashMap::new();
    let mut answers = vec![];
    for step in &scenario.steps {
        let answer = if let Some(name) = &step.events {
            let watch = watches.get_mut(name).expect("a watch that was started");
            let events =
                if step.count == usize::MAX { watch.rest().await } else { watch.take(step.count).await };
            Answer { code: 0, body: events.into() }
        } else if let Some(name) = &step.watch {
            let opened = server.open(&request(step, &variables)).await;
            let code = opened.status().as_u16();
            watches.insert(name.clone(), Events::follow(opened));
            Answer { code, body: Value::Null }
        } else if step.repeat > 1 {
            repeated(step, server, &variables).await
        } else {
            patient(step, server, &variables).await
        };
        for (name, path) in &step.save {
            let value = at(&answer.body, path);
            if value.is_null() {
                continue;
            }
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            variables.insert(name.clone(), text);
        }
        answers.push(answer);
    }
    answers
}

/// Asks until the step's expectation holds; the last answer counts, and it will differ when it never held.
async fn patient(step: &Step, server: &Server, variables: &Variables) -> Answer {
    let request = request(step, variables);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = server.send(&request).await;
        let holds = match &step.until {
            None => true,
            Some(Until::Code(code)) => answer.code == *code,
            Some(Until::Value(path, value)) => at(&answer.body, path) == value,
        };
        if holds || Instant::now() > deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Sends a request many times, some at once, and tells only the codes.
async fn repeated(step: &Step, server: &Server, variables: &Variables) -> Answer {
    use futures::StreamExt;
    let codes: Vec<u16> = futures::stream::iter(0..step.repeat)
        .map(|i| {
            let mut variables = variables.clone();
            variables.insert("i".into(), format!("{i:04}"));
            let request = request(step, &variables);
            async move { server.send(&request).await.code }
        })
        .buffer_unordered(8)
        .collect()
        .await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for code in codes {
        *counts.entry(code.to_string()).or_default() += 1;
    }
    Answer { code: 0, body: json!(counts) }
}

fn request(step: &Step, variables: &Variables) -> Request {
    let body = match (&step.raw, &step.body) {
        (Some(raw), _) => fill(raw, variables).into_bytes(),
        (None, Some(body)) => serde_json::to_vec(&fill_value(body, variables)).unwrap(),
        (None, None) => vec![],
    };
    Request {
        method: step.method.clone(),
        path: encode(&fill(&step.path, variables)),
        media_type: step.media_type.clone(),
        body,
        sender: step.sender.clone(),
        headers: step.headers.iter().map(|(k, v)| (k.clone(), fill(v, variables))).collect(),
    }
}

/// What a URL cannot hold is escaped; what is escaped already stays.
fn encode(path: &str) -> String {
    let escape = |c: char| if " \"{}<>|".contains(c) { format!("%{:02X}", u32::from(c)) } else { c.into() };
    path.chars().map(escape).collect()
}

/// Puts variables in; longer names first, so that `$rv2` is not `$rv` and a 2.
fn fill(text: &str, variables: &Variables) -> String {
    let mut text = text.to_owned();
    for (name, value) in variables.iter().rev() {
        text = text.replace(&format!("${name}"), value);
    }
    text
}

fn fill_value(value: &Value, variables: &Variables) -> Value {
    match value {
        Value::String(text) => fill(text, variables).into(),
        Value::Array(list) => list.iter().map(|v| fill_value(v, variables)).collect(),
        Value::Object(map) => {
            map.iter().map(|(k, v)| (fill(k, variables), fill_value(v, variables))).collect()
        }
        other => other.clone(),
    }
}

/// The value at a path such as `items.0.metadata.name`.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |v, part| match part.parse::<usize>() {
        Ok(index) if v.is_array() => &v[index],
        _ => &v[part],
    })
}
