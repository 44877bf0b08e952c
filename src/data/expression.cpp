// data/expression.cpp
//
// A hand-written parser: it knows what people who have read about JMESPath will try, and answers each with a sentence.
#include "data/expression.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/text.h"

namespace portloom::data {
namespace {

using Root = Operand::Root;

bool is_word(char c) { return is_alpha(c) || is_digit(c) || c == '_' || c == '-'; }

constexpr std::array later_roots = {std::string_view("claims"), std::string_view("step"), std::string_view("saga")};

class Parser {
 public:
  Parser(std::string_view text, bool in_braces) : text_(text), in_braces_(in_braces) {}

  // From `at` to where no expression goes on; the caller looks at what stands there.
  std::optional<Expression> expression() {
    Expression made;
    do {
      spaces();
      std::optional<Operand> operand = this->operand();
      if (!operand) return std::nullopt;
      made.alternatives.push_back(std::move(*operand));
      spaces();
    } while (take("||"));
    return made;
  }
  // What cannot follow an expression, said by name; `end` is what may.
  void refuse_rest(std::string_view end) {
    struct Feature {
      std::string_view sign;
      std::string_view message;
    };
    static constexpr Feature features[] = {{"(", "functions are not in this version"},
                                           {"[", "indexes and projections are not in this version"},
                                           {".[", "lists and projections are not in this version"},
                                           {".{", "objects are not in this version"},
                                           {".*", "projections are not in this version"},
                                           {"|", "pipes are not in this version"},
                                           {"&", "\"and\" is not in this version"},
                                           {"=", "comparisons are not in this version"},
                                           {"!", "comparisons are not in this version"},
                                           {"<", "comparisons are not in this version"},
                                           {">", "comparisons are not in this version"}};
    for (const Feature& feature : features)
      if (rest().starts_with(feature.sign)) return fail(std::string(feature.message), "alternatives are written a || b");
    if (at_ == text_.size()) return fail("a brace without its }", "write {{ for a brace");
    fail("expected || or " + std::string(end) + ", found \"" + std::string(rest().substr(0, 16)) + "\"",
         in_braces_ ? "write {{ for a brace" : "");
  }

  bool take(std::string_view sign) {
    if (!rest().starts_with(sign)) return false;
    at_ += sign.size();
    return true;
  }
  void fail(std::string message, std::string hint = {}, size_t back = 0) {
    if (fault.ok()) fault = {std::move(message), std::move(hint), at_ - back};
  }
  std::string_view rest() const { return text_.substr(at_); }
  size_t at() const { return at_; }
  void skip(size_t count) { at_ += count; }
  TextFault fault;

 private:
  void spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }

  // A text in quotes; \ keeps the next character from ending it.
  std::optional<std::string> quoted(char quote) {
    size_t begin = at_;
    std::string made;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == quote) {
        ++at_;
        return made;
      }
      if (text_[at_] == '\\' && at_ + 1 < text_.size() && (text_[at_ + 1] == quote || text_[at_ + 1] == '\\')) ++at_;
      made += text_[at_];
    }
    at_ = begin;
    fail("a quote without its end");
    return std::nullopt;
  }

  std::optional<std::string> word() {
    if (rest().starts_with('"')) return quoted('"');
    size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    if (at_ > begin) return std::string(text_.substr(begin, at_ - begin));
    return std::nullopt;
  }

  std::optional<Operand> operand() {
    size_t begin = at_;
    if (rest().starts_with('\'')) {
      std::optional<std::string> text = quoted('\'');
      if (!text) return std::nullopt;
      return Operand{Root::text, std::move(*text), {}, begin};
    }
    if (rest().starts_with('"')) {
      fail("a text stands in single quotes", in_braces_ ? "write 'text'; {{ is a brace" : "write 'text'");
      return std::nullopt;
    }
    std::optional<std::string> first = word();
    if (!first) {
      no_operand();
      return std::nullopt;
    }
    std::vector<JsonSelection::Step> names;
    while (rest().starts_with('.') || (rest().starts_with('[') && may_have_items(*first))) {
      if (rest().starts_with('[')) {
        std::optional<uint32_t> index = this->index();
        if (!index) break;
        names.push_back({.name = {}, .index = *index, .is_index = true});
        continue;
      }
      size_t dot = at_++;
      std::optional<std::string> name = word();
      if (!name) {
        at_ = dot;
        if (rest().size() < 2 || (rest()[1] != '[' && rest()[1] != '{' && rest()[1] != '*')) fail("a name is missing behind the dot");
        break;
      }
      names.push_back({.name = std::move(*name)});
    }
    if (!fault.ok()) return std::nullopt;
    return resolved(std::move(*first), std::move(names), begin);
  }

  // Roots that hold texts have none.
  static bool may_have_items(std::string_view root) {
    return root != "query" && root != "headers" && root != "cookies" && root != "client" && root != "consumer" && root != "tenant";
  }
  // "[0]"; whatever else a bracket may begin is left where it stands.
  std::optional<uint32_t> index() {
    std::string_view inside = rest().substr(1, rest().find(']') == std::string_view::npos ? 0 : rest().find(']') - 1);
    uint32_t number = 0;
    auto [end, error] = std::from_chars(inside.data(), inside.data() + inside.size(), number);
    if (inside.empty() || error != std::errc{} || end != inside.data() + inside.size()) return std::nullopt;
    at_ += inside.size() + 2;
    return number;
  }

  void no_operand() {
    if (rest().empty() && !in_braces_) return fail("an expression is missing");
    if (rest().empty() || rest().front() == '}') return fail("there is nothing between the braces", "write {{ for a brace");
    switch (rest().front()) {
      case '`': return fail("JSON literals are not in this version", "write a text in single quotes: '1'");
      case '@': return fail("@ is not in this version", "write the name of a value: {query.page}");
      case '*': return fail("projections are not in this version");
      case '!': return fail("\"not\" is not in this version");
      case '(': return fail("parentheses are not in this version");
      case '[':
      case '{': return fail("lists and objects are not in this version", "write {{ for a brace");
      case '$':
      case '#': return fail("a value begins with its root", "write {query.page}, {headers.x-app} or the name of a path parameter");
      default: return fail("expected the name of a value, found \"" + std::string(rest().substr(0, 16)) + "\"", "write {{ for a brace");
    }
  }

  std::optional<Operand> resolved(std::string root, std::vector<JsonSelection::Step> names, size_t begin) {
    auto refuse = [&](std::string message, std::string hint = {}) -> std::optional<Operand> {
      at_ = begin;
      fail(std::move(message), std::move(hint));
      return std::nullopt;
    };
    for (std::string_view later : later_roots)
      if (root == later) return refuse("\"" + root + "\" is not in this version");
    for (const auto& [name, kind, example] :
         {std::tuple("query", Root::query, "query.page"), std::tuple("headers", Root::header, "headers.x-app"),
          std::tuple("cookies", Root::cookie, "cookies.session")}) {
      if (root != name) continue;
      if (names.empty()) return refuse("\"" + root + "\" needs a name", "write " + std::string(example));
      if (names.size() > 1)
        return refuse("\"" + root + "." + names[0].name + "\" is a text: it has no members",
                      "a name with dots is quoted: " + root + ".\"a.b\"");
      if (names[0].name.empty()) return refuse("a name is empty");
      return Operand{kind, std::move(names[0].name), {}, begin};
    }
    struct Thing {
      std::string_view name;
      Root kind;
      std::vector<std::string_view> members;
      std::string_view hint;
    };
    static const std::array things = {
        Thing{"client", Root::client, {"address"}, "write client.address"},
        Thing{"consumer", Root::consumer, {"name", "tenant", "plan"}, "write consumer.name, consumer.tenant or consumer.plan"},
        Thing{
            "request", Root::request, {"id", "method", "host", "path"}, "write request.id, request.method, request.host or request.path"}};
    for (const Thing& thing : things) {
      if (root != thing.name) continue;
      if (names.empty() && thing.kind == Root::consumer) return Operand{Root::consumer, "name", {}, begin};
      if (names.size() == 1 && std::find(thing.members.begin(), thing.members.end(), names[0].name) != thing.members.end())
        return Operand{thing.kind, std::move(names[0].name), {}, begin};
      std::string hint = names.size() == 1 ? did_you_mean(names[0].name, thing.members) : "";
      if (hint.empty()) hint = thing.hint;
      return refuse("there is no " + root + (names.empty() ? " without a member" : "." + names[0].name), std::move(hint));
    }
    if (root == "tenant" && names.empty()) return Operand{Root::tenant, {}, {}, begin};
    if (root == "tenant") return refuse("\"tenant\" is a text: it has no members", "write consumer.plan for its plan");
    if (root.empty()) return refuse("a name is empty");
    if (root == "body") return Operand{Root::body, {}, std::move(names), begin};
    if (rest().starts_with('(')) return refuse("functions are not in this version");
    bool call = !names.empty();
    return Operand{call ? Root::call : Root::parameter, std::move(root), std::move(names), begin};
  }

  std::string_view text_;
  bool in_braces_;
  size_t at_ = 0;
};

}  // namespace

std::string path_text(const std::vector<JsonSelection::Step>& path) {
  std::string text;
  for (const JsonSelection::Step& step : path) {
    bool plain = !step.name.empty() && std::all_of(step.name.begin(), step.name.end(), is_word);
    if (step.is_index)
      text += "[" + std::to_string(step.index) + "]";
    else
      text += plain ? "." + step.name : ".\"" + step.name + "\"";
  }
  return text;
}

std::string text_of(const Operand& operand) {
  std::string quoted = "'";
  switch (operand.root) {
    case Root::text:
      for (char c : operand.name) {
        if (c == '\'' || c == '\\') quoted += '\\';
        quoted += c;
      }
      return quoted + "'";
    case Root::parameter: return operand.name;
    case Root::query: return "query" + path_text({{.name = operand.name}});
    case Root::header: return "headers" + path_text({{.name = operand.name}});
    case Root::cookie: return "cookies" + path_text({{.name = operand.name}});
    case Root::consumer: return "consumer." + operand.name;
    case Root::tenant: return "tenant";
    case Root::client: return "client." + operand.name;
    case Root::request: return "request." + operand.name;
    case Root::body: return "body" + path_text(operand.path);
    case Root::call: return operand.name + path_text(operand.path);
  }
  return {};
}

std::string text_of(const Expression& expression) {
  std::string text;
  for (const Operand& operand : expression.alternatives) text += (text.empty() ? "" : " || ") + text_of(operand);
  return text;
}

std::string in_words(const Operand& operand) {
  switch (operand.root) {
    case Root::text: return "the text '" + operand.name + "'";
    case Root::parameter: return "the path parameter \"" + operand.name + "\"";
    case Root::query: return "the query parameter \"" + operand.name + "\"";
    case Root::header: return "the header field \"" + operand.name + "\"";
    case Root::cookie: return "the cookie \"" + operand.name + "\"";
    case Root::consumer: return operand.name == "name" ? "the consumer" : "the consumer's " + operand.name;
    case Root::tenant: return "the tenant";
    case Root::client: return "the client's address";
    case Root::body: return "{body" + path_text(operand.path) + "}";
    case Root::call: return "{" + operand.name + path_text(operand.path) + "}";
    case Root::request: return "the request's " + operand.name;
  }
  return {};
}

std::expected<Expression, TextFault> Expression::parse(std::string_view text) {
  Parser parser(text, false);
  std::optional<Expression> made = parser.expression();
  if (made && !parser.rest().empty()) parser.refuse_rest("the end");
  if (!parser.fault.ok()) {
    if (trim(text).starts_with('{'))
      return std::unexpected(TextFault{"an expression stands here without braces", "write it without { and }", 0});
    return std::unexpected(std::move(parser.fault));
  }
  return std::move(*made);
}

std::expected<Template, TextFault> Template::parse(std::string_view text) {
  Template made;
  std::string literal;
  auto keep = [&] {
    if (!literal.empty()) made.pieces.push_back({std::exchange(literal, {}), std::nullopt});
  };
  Parser parser(text, true);
  while (!parser.rest().empty()) {
    std::string_view rest = parser.rest();
    size_t brace = rest.find_first_of("{}");
    literal += rest.substr(0, brace);
    if (brace == std::string_view::npos) break;
    parser.skip(brace);
    if (parser.take("{{")) {
      literal += '{';
    } else if (parser.take("}}")) {
      literal += '}';
    } else if (rest[brace] == '}') {
      return std::unexpected(TextFault{"a } without its brace", "write }} for a brace", parser.at()});
    } else {
      parser.skip(1);
      std::optional<Expression> expression = parser.expression();
      if (expression && !parser.take("}")) parser.refuse_rest("}");
      if (!parser.fault.ok()) return std::unexpected(std::move(parser.fault));
      keep();
      made.pieces.push_back({{}, std::move(expression)});
    }
  }
  keep();
  return made;
}

void each_expression(const Field& field, std::string_view text, const std::function<void(const Expression&)>& see) {
  if (field.text == Text::expression) {
    if (std::expected<Expression, TextFault> made = Expression::parse(text)) see(*made);
  } else if (field.text == Text::computes) {
    std::expected<Template, TextFault> made = Template::parse(text);
    for (size_t i = 0; made && i < made->pieces.size(); ++i)
      if (made->pieces[i].expression) see(*made->pieces[i].expression);
  }
}

bool Template::constant() const {
  return std::all_of(pieces.begin(), pieces.end(), [](const Piece& piece) { return !piece.expression.has_value(); });
}

TextFault fault_of(Text kind, std::string_view text) {
  if (kind == Text::computes) {
    std::expected<Template, TextFault> made = Template::parse(text);
    if (!made) return std::move(made.error());
  } else if (kind == Text::expression) {
    std::expected<Expression, TextFault> made = Expression::parse(text);
    if (!made) return std::move(made.error());
  }
  return {};
}

}  // namespace portloom::data
