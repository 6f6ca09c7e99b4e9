//! The form `pql/json`: a syntax tree in JSON.

use serde_json::Value as Json;

use crate::{
    Diagnostic, Limit, Problem, Span,
    ast::{ArithmeticOp, Comparison, Expr, ExprKind, Literal, Name},
    parse,
};

/// Reads an expression of `pql/json`. Its places are those of the text that is returned with it: the same expression as
/// `pql/text`.
///
/// # Errors
/// What is no syntax tree, or uses a node that has no known form in JSON.
pub fn parse_json(json: &str) -> Result<(String, Expr), Diagnostic> {
    let all = Span::new(0, json.len());
    if json.len() > Limit::Size.allowed() {
        let problem = Problem::Limit {
            limit: Limit::Size,
            found: json.len(),
        };
        return Err(Diagnostic::new(all, problem));
    }
    let tree: Json =
        serde_json::from_str(json).map_err(|error| Diagnostic::syntax(all, format!("this is not JSON: {error}")))?;
    let text = node(&tree, "")?.to_string();
    let expr = parse(&text)?;
    Ok((text, expr))
}

type Result<T, E = Diagnostic> = std::result::Result<T, E>;

fn wrong(pointer: &str, message: impl Into<String>) -> Diagnostic {
    let problem = Problem::Json {
        pointer: pointer.to_owned(),
        message: message.into(),
    };
    Diagnostic::new(Span::default(), problem)
}

fn make(kind: ExprKind) -> Result<Expr> {
    Expr::new(Span::default(), kind)
}

fn node(json: &Json, pointer: &str) -> Result<Expr> {
    let text = |key: &str| json.get(key).and_then(Json::as_str);
    let Some(node_type) = text("nodeType") else {
        return Err(wrong(
            pointer,
            "expected an object with a nodeType: fnApply, fieldLookup, parameterReference or literal",
        ));
    };
    match node_type {
        "fnApply" => {
            let name =
                text("fnName").ok_or_else(|| wrong(pointer, "an fnApply needs fnName, the function or operator"))?;
            let params = json.get("params").and_then(Json::as_array);
            let params = params.ok_or_else(|| wrong(pointer, "an fnApply needs params, a list of nodes"))?;
            let operands = params
                .iter()
                .enumerate()
                .map(|(index, param)| node(param, &format!("{pointer}/params/{index}")));
            apply(name, operands.collect::<Result<_>>()?, pointer)
        }
        "fieldLookup" => {
            let name = text("fieldName").ok_or_else(|| wrong(pointer, "a fieldLookup needs fieldName"))?;
            match json.get("object") {
                None | Some(Json::Null) if name == "xEvent" => make(ExprKind::Events),
                None | Some(Json::Null) => make(ExprKind::Name(name.to_owned())),
                Some(object) => {
                    let holder = node(object, &format!("{pointer}/object"))?;
                    make(ExprKind::Field(Box::new(holder), word(name)))
                }
            }
        }
        "parameterReference" => {
            let position = json
                .get("position")
                .and_then(Json::as_u64)
                .and_then(|position| u32::try_from(position).ok());
            make(ExprKind::Parameter(position.ok_or_else(|| {
                wrong(pointer, "a parameterReference needs position: 1 is the profile")
            })?))
        }
        "literal" => literal(json, pointer),
        other => Err(Diagnostic::unsupported(
            Span::default(),
            format!("the node {other:?} of pql/json"),
            "its form in JSON is not described anywhere: write the expression as pql/text",
        )),
    }
}

fn word(text: &str) -> Name {
    Name {
        text: text.to_owned(),
        span: Span::default(),
    }
}

fn literal(json: &Json, pointer: &str) -> Result<Expr> {
    let Some(value) = json.get("value") else {
        return Err(wrong(pointer, "a literal needs value"));
    };
    let literal_type = json.get("literalType").and_then(Json::as_str).unwrap_or_default();
    let found = match literal_type {
        "XDMObject" if value == "profile" => return make(ExprKind::Parameter(1)),
        "" => true,
        "String" => value.is_string(),
        "List" => value.is_array(),
        "Boolean" => value.is_boolean(),
        "Integer" | "Int" | "Long" => value.is_i64(),
        "Double" | "Float" | "Number" => value.is_number(),
        other => {
            let feature = format!("the literal type {other:?} of pql/json");
            return Err(Diagnostic::unsupported(
                Span::default(),
                feature,
                "write the expression as pql/text",
            ));
        }
    };
    if found {
        scalar(value, pointer)
    } else {
        Err(wrong(
            pointer,
            format!("{value} is no literal of the type {literal_type}"),
        ))
    }
}

fn scalar(value: &Json, pointer: &str) -> Result<Expr> {
    let literal = match value {
        Json::Null => Literal::Null,
        Json::Bool(value) => Literal::Bool(*value),
        Json::String(text) => Literal::String(text.clone()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Literal::Int(number),
            (None, Some(number)) => Literal::Double(number),
            (None, None) => return Err(wrong(pointer, "this number is too large")),
        },
        Json::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| {
                let pointer = format!("{pointer}/value/{index}");
                if item.is_object() {
                    node(item, &pointer)
                } else {
                    scalar(item, &pointer)
                }
            });
            return make(ExprKind::List(items.collect::<Result<_>>()?));
        }
        Json::Object(_) => return Err(wrong(pointer, "an object cannot be a literal")),
    };
    make(ExprKind::Literal(literal))
}

fn apply(name: &str, mut operands: Vec<Expr>, pointer: &str) -> Result<Expr> {
    let count = operands.len();
    match name.to_ascii_lowercase().as_str() {
        "and" | "or" if count == 1 => return operands.pop().ok_or_else(|| wrong(pointer, "an operand is missing")),
        "and" if count > 1 => return make(ExprKind::And(operands)),
        "or" if count > 1 => return make(ExprKind::Or(operands)),
        "and" | "or" => return Err(wrong(pointer, format!("{name} needs conditions"))),
        _ => {}
    }
    let wanted = if is_infix(name) {
        2
    } else {
        usize::from(matches!(name, "not" | "!"))
    };
    if wanted > 0 && count != wanted && !(name == "-" && count == 1) {
        return Err(wrong(pointer, format!("{name} takes {wanted} params, and has {count}")));
    }
    let kind = match <[Expr; 2]>::try_from(operands) {
        Ok([left, right]) => infix(name, left, right),
        Err(operands) => prefix(name, operands),
    };
    make(kind)
}

fn is_infix(name: &str) -> bool {
    comparison(name).is_some() || arithmetic(name).is_some() || matches!(name, "in" | "notIn" | "like")
}

fn comparison(name: &str) -> Option<Comparison> {
    Comparison::ALL.into_iter().find(|operator| operator.sign() == name)
}

fn arithmetic(name: &str) -> Option<ArithmeticOp> {
    ArithmeticOp::ALL.into_iter().find(|operator| operator.sign() == name)
}

fn infix(name: &str, left: Expr, right: Expr) -> ExprKind {
    if let Some(operator) = comparison(name) {
        return ExprKind::Compare(operator, Box::new(left), Box::new(right));
    }
    if let Some(operator) = arithmetic(name) {
        return ExprKind::Arithmetic(operator, Box::new(left), Box::new(right));
    }
    match name {
        "in" | "notIn" => ExprKind::In {
            value: Box::new(left),
            list: Box::new(right),
            negated: name == "notIn",
        },
        "like" => ExprKind::Like(Box::new(left), Box::new(right)),
        _ => ExprKind::Call {
            function: word(name),
            receiver: None,
            arguments: vec![left, right],
        },
    }
}

fn prefix(name: &str, operands: Vec<Expr>) -> ExprKind {
    match (name, <[Expr; 1]>::try_from(operands)) {
        ("not" | "!", Ok([inner])) => ExprKind::Not(Box::new(inner)),
        ("-", Ok([inner])) => ExprKind::Negate(Box::new(inner)),
        (_, Ok([inner])) => ExprKind::Call {
            function: word(name),
            receiver: None,
            arguments: vec![inner],
        },
        (_, Err(operands)) => match (name, <[Expr; 3]>::try_from(operands)) {
            ("if", Ok([condition, then, otherwise])) => {
                ExprKind::If(Box::new(condition), Box::new(then), Box::new(otherwise))
            }
            (_, Ok(operands)) => ExprKind::Call {
                function: word(name),
                receiver: None,
                arguments: operands.into(),
            },
            (_, Err(arguments)) => ExprKind::Call {
                function: word(name),
                receiver: None,
                arguments,
            },
        },
    }
}
