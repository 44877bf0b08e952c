// data/problem.cpp
//
// Collecting and rendering configuration problems.
#include "data/problem.h"

#include <algorithm>
#include <tuple>

#include "base/text.h"
#include "data/json.h"

namespace portloom::data {
namespace {

constexpr size_t line_shown_max = 160;

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// One line that cannot steer a terminal.
void append_shown(std::string& to, std::string_view text) {
  for (char c : text) to += (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f ? ' ' : c;
}

void append_place(std::string& to, const ConfigProblem& problem) {
  if (problem.file.empty()) return;
  append_shown(to, problem.file);
  if (problem.line != 0) {
    to += ':';
    append_number(to, problem.line);
    to += ':';
    append_number(to, problem.column);
  }
  to += ": ";
}

void append_caret(std::string& to, const ConfigProblem& problem) {
  std::string_view line = problem.source;
  size_t column = std::min<size_t>(problem.column == 0 ? 0 : problem.column - 1, line.size());
  if (column > line_shown_max - 40) {  // a long line is shown around its place
    size_t cut = column - 80;
    while (cut < column && continues_character(line[cut])) ++cut;
    line.remove_prefix(cut);
    column -= cut;
  }
  size_t shown = std::min(line.size(), line_shown_max);
  while (shown < line.size() && shown > 0 && continues_character(line[shown])) --shown;
  append_shown(to, line.substr(0, shown));
  to += '\n';
  for (char c : line.substr(0, column))
    if (!continues_character(c)) to += c == '\t' ? '\t' : ' ';
  to += '^';
  if (!problem.hint.empty()) {
    to += ' ';
    append_shown(to, problem.hint);
  }
  to += '\n';
}

void render_text(std::string& out, const ConfigProblem& problem) {
  append_place(out, problem);
  out += name_of(problem.severity);
  out += ": ";
  append_shown(out, problem.message);
  if (problem.line == 0 && !problem.hint.empty()) {
    out += ": ";
    append_shown(out, problem.hint);
  }
  out += '\n';
  if (problem.line != 0) append_caret(out, problem);
}

void render_json(std::string& out, const ConfigProblem& problem) {
  JsonWriter json(out);
  json.begin_object();
  json.member("file", std::string_view(problem.file)).member("line", problem.line).member("column", problem.column);
  json.member("severity", name_of(problem.severity)).member("key", std::string_view(problem.key));
  json.member("message", std::string_view(problem.message)).member("hint", std::string_view(problem.hint));
  json.end_object();
  out += '\n';
}

void append_escaped(std::string& to, std::string_view text, bool property) {
  for (char c : text) {
    if (c == '%')
      to += "%25";
    else if (c == '\r')
      to += "%0D";
    else if (c == '\n')
      to += "%0A";
    else if (property && c == ':')
      to += "%3A";
    else if (property && c == ',')
      to += "%2C";
    else
      to += c;
  }
}

void render_github(std::string& out, const ConfigProblem& problem) {
  out += "::";
  out += name_of(problem.severity);
  if (!problem.file.empty()) {
    out += " file=";
    append_escaped(out, problem.file, true);
    if (problem.line != 0) {
      out += ",line=";
      append_number(out, problem.line);
      out += ",col=";
      append_number(out, problem.column);
    }
  }
  out += "::";
  append_escaped(out, problem.message, false);
  if (!problem.hint.empty()) {
    out += "; ";
    append_escaped(out, problem.hint, false);
  }
  out += '\n';
}

}  // namespace

std::string_view name_of(Severity severity) { return severity == Severity::error ? "error" : "warning"; }

uint32_t Sources::add(std::string name, std::string text) {
  File file{std::move(name), std::move(text), {0}};
  for (size_t i = 0; i < file.text.size(); ++i)
    if (file.text[i] == '\n') file.starts.push_back(i + 1);
  files_.push_back(std::move(file));
  return static_cast<uint32_t>(files_.size() - 1);
}

std::string_view Sources::line(uint32_t file, uint32_t line) const {
  if (file >= files_.size() || line == 0 || line > files_[file].starts.size()) return {};
  const File& from = files_[file];
  size_t begin = from.starts[line - 1];
  size_t end = line < from.starts.size() ? from.starts[line] - 1 : from.text.size();
  if (end > begin && from.text[end - 1] == '\r') --end;
  return std::string_view(from.text).substr(begin, end - begin);
}

std::string Sources::place(Position at, bool with_column) const {
  if (!at.known() || at.file >= files_.size()) return {};
  std::string text = files_[at.file].name;
  text += ':';
  append_number(text, at.line);
  if (with_column) {
    text += ':';
    append_number(text, at.column);
  }
  return text;
}

Position Sources::inside(Position at, std::string_view text, size_t offset) const {
  std::string_view source = line(at.file, at.line);
  if (at.column == 0 || at.column > source.size()) return at;
  source.remove_prefix(at.column - 1);
  size_t quote = source.starts_with('"') || source.starts_with('\'') ? 1 : 0;
  if (source.substr(quote, offset) != text.substr(0, offset)) return at;
  return {at.file, at.line, static_cast<uint32_t>(at.column + quote + offset)};
}

void Problems::error(Position at, std::string key, std::string message, std::string hint) {
  add(Severity::error, at, std::move(key), std::move(message), std::move(hint));
}

void Problems::warning(Position at, std::string key, std::string message, std::string hint) {
  add(Severity::warning, at, std::move(key), std::move(message), std::move(hint));
}

void Problems::add(Severity severity, Position at, std::string key, std::string message, std::string hint) {
  constexpr size_t problems_max = 1000;
  // What is broken as a text (it has no key yet) need not be called of the wrong kind as well.
  auto broken = [&](const ConfigProblem& other) {
    return other.key.empty() && other.severity == Severity::error && other.line == at.line && other.column == at.column &&
           at.file < sources_.size() && other.file == sources_.name(at.file);
  };
  if (!key.empty() && at.known() && std::ranges::any_of(all_, broken)) return;
  if (severity == Severity::error) ++errors_;
  if (all_.size() >= problems_max) return;
  ConfigProblem problem;
  if (at.file < sources_.size()) problem.file = sources_.name(at.file);
  problem.line = at.line;
  problem.column = at.column;
  problem.severity = severity;
  problem.key = std::move(key);
  problem.message = std::move(message);
  problem.hint = std::move(hint);
  if (at.known()) problem.source = std::string(sources_.line(at.file, at.line).substr(0, 4096));
  all_.push_back(std::move(problem));
}

std::vector<ConfigProblem> Problems::take() {
  std::sort(all_.begin(), all_.end(), [](const ConfigProblem& a, const ConfigProblem& b) {
    return std::tie(a.file, a.line, a.column, a.message) < std::tie(b.file, b.line, b.column, b.message);
  });
  // What was written once and is used in several places (defaults, aliases) is reported once.
  auto same = [](const ConfigProblem& a, const ConfigProblem& b) {
    return std::tie(a.file, a.line, a.column, a.message) == std::tie(b.file, b.line, b.column, b.message);
  };
  all_.erase(std::unique(all_.begin(), all_.end(), same), all_.end());
  return std::move(all_);
}

void render(std::string& out, const ConfigProblem& problem, ProblemFormat format) {
  switch (format) {
    case ProblemFormat::text: return render_text(out, problem);
    case ProblemFormat::json: return render_json(out, problem);
    case ProblemFormat::github: return render_github(out, problem);
  }
}

std::string render(const std::vector<ConfigProblem>& problems, ProblemFormat format) {
  std::string out;
  for (const ConfigProblem& problem : problems) render(out, problem, format);
  return out;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
  auto found = nearest(word, candidates);
  return found ? "did you mean \"" + std::string(*found) + "\"?" : std::string();
}

}  // namespace portloom::data
