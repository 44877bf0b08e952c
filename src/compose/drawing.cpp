// compose/drawing.cpp
//
// Layout in the manner of Sugiyama: a column per stage; an arrow over several stages gets a lane of its own in each column between, so
// that none runs behind a box; in a column, who is fed from further up stands further up. Widths are estimated: letters of a
// fixed-width font are 0.6 em, others about as much.
#include "compose/drawing.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "data/utf8.h"

namespace portloom::compose {
namespace {

constexpr int letter = 73;  // tenths, of a line
constexpr int line_height = 17;
constexpr int padding = 10;
constexpr int gap_across = 72;  // between columns
constexpr int gap_down = 16;
constexpr int lane_height = 8;
constexpr int margin = 24;
constexpr int letters_min = 22;
constexpr int letters_max = 46;

constexpr std::string_view style = R"(<style>
svg { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
.page { fill: #ffffff; }
.box { fill: #f6f8fa; stroke: #8c959f; }
.unused .box { fill: none; stroke-dasharray: 4 3; }
.mark { fill: #0969da; }
text { fill: #1f2328; white-space: pre; }
.title { font-size: 15px; font-weight: 600; }
.name { font-weight: 600; }
.end { text-anchor: end; }
.muted { fill: #59636e; }
.must { fill: #0969da; font-weight: 600; }
.arrow { fill: none; stroke: #59636e; stroke-width: 1.4; }
.head { fill: #59636e; }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117; }
  .box { fill: #151b23; stroke: #656c76; }
  .mark { fill: #4493f8; }
  text { fill: #f0f6fc; }
  .muted { fill: #9198a1; }
  .must { fill: #4493f8; }
  .arrow { stroke: #9198a1; }
  .head { fill: #9198a1; }
}
</style>
)";

// XML 1.0 §2.2 and §2.4: no markup, and none of the characters that a document may not hold.
std::string escaped(std::string_view text) {
  std::string made;
  while (!text.empty()) {
    size_t size = data::utf8_length(text);
    std::string_view one = text.substr(0, size);
    text.remove_prefix(std::max<size_t>(size, 1));
    char c = size == 1 ? one.front() : '\0';
    if (size == 0 || (size == 1 && static_cast<unsigned char>(c) < 0x20) || one == "\xef\xbf\xbe" || one == "\xef\xbf\xbf")
      made += "\xef\xbf\xbd";
    else if (c == '&')
      made += "&amp;";
    else if (c == '<')
      made += "&lt;";
    else if (c == '>')
      made += "&gt;";
    else if (c == '"')
      made += "&quot;";
    else
      made += one;
  }
  return made;
}

// Letters as they are wide: those of East Asia count twice.
int width_of(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    size_t size = std::max<size_t>(data::utf8_length(text), 1);
    width += size == 1 || static_cast<unsigned char>(text.front()) < 0xe1 ? 1 : 2;
    text.remove_prefix(size);
  }
  return width;
}

std::string cut(std::string_view text, int width) {
  if (width_of(text) <= width) return std::string(text);
  std::string made;
  while (!text.empty()) {
    size_t size = std::max<size_t>(data::utf8_length(text), 1);
    if (width_of(made) + width_of(text.substr(0, size)) > width - 1) break;
    made += text.substr(0, size);
    text.remove_prefix(size);
  }
  return made + "…";
}

struct Line {
  std::string text;
  std::string_view look;
};

// What stands in a box, below its name.
std::vector<Line> lines_of(const Outline::Call& call) {
  std::vector<Line> lines;
  lines.push_back({call.service.empty() ? "composition " + call.composition : call.service, ""});
  lines.push_back({call.service.empty() ? "gets the request as it is" : call.request, "muted"});
  if (!call.when.empty()) lines.push_back({"when " + call.when, "muted"});
  if (call.stage == 0) {
    lines.push_back({"never made", "muted"});
  } else if (call.fallback.empty()) {
    lines.push_back({"required", "must"});
  } else {
    for (const std::string& other : call.fallback) lines.push_back({"else " + other, ""});
    if (call.may_fail) lines.push_back({"else the whole fails", "must"});
  }
  return lines;
}

// A box, or a lane that an arrow passes through.
struct Spot {
  const Outline::Call* call = nullptr;
  std::vector<size_t> from;  // spots of the column before
  std::vector<Line> lines;
  int letters = 0;  // that a line has room for
  int x = 0, y = 0, width = 0, height = lane_height;
  int middle() const { return y + height / 2; }
};

class Panel {
 public:
  Panel(const Outline& outline, int top) : outline_(outline), top_(top) {
    for (size_t stage = 1; stage <= outline.stages; ++stage) add_column(stage);
    add_unused();
  }
  int right() const { return right_; }
  int bottom() const { return bottom_; }

  void draw(std::string& to) const {
    std::string title = outline_.name.empty() ? "composition" : "composition " + outline_.name;
    if (!outline_.timeout.empty()) title += ", within " + outline_.timeout;
    text(to, margin, top_ + 14, "title", title);
    for (size_t i = 0; i < columns_.size(); ++i)
      text(to, columns_[i].x, top_ + 44, "muted", columns_[i].stage == 0 ? "never made" : "stage " + std::to_string(columns_[i].stage));
    for (size_t i = 0; i < spots_.size(); ++i) arrows(to, i);
    for (const Spot& spot : spots_)
      if (spot.call != nullptr) box(to, spot);
  }

 private:
  struct Column {
    size_t stage;
    int x;
    std::vector<size_t> spots;
  };

  void add_column(size_t stage) {
    Column column{stage, columns_.empty() ? margin : right_ + gap_across, {}};
    for (const Outline::Call& call : outline_.calls)
      if (call.stage == stage) column.spots.push_back(add_box(call));
    if (stage > 1) {
      for (size_t spot : std::vector<size_t>(column.spots)) connect(spot);
      for (const Outline::Call& call : outline_.calls)
        if (call.stage < stage && call.stage != 0 && last_use(call.name) > stage) column.spots.push_back(add_lane(call.name));
      std::ranges::sort(column.spots, {}, [&](size_t spot) { return std::pair(pull(spots_[spot]), spot); });
    }
    place(column);
    columns_.push_back(std::move(column));
  }

  void add_unused() {
    Column column{0, columns_.empty() ? margin : right_ + gap_across, {}};
    for (const Outline::Call& call : outline_.calls)
      if (call.stage == 0) column.spots.push_back(add_box(call));
    if (column.spots.empty()) return;
    place(column);
    columns_.push_back(std::move(column));
  }

  size_t add_box(const Outline::Call& call) {
    Spot spot{.call = &call, .lines = lines_of(call)};
    spot.height = 2 * padding + static_cast<int>(1 + spot.lines.size()) * line_height;
    spots_.push_back(std::move(spot));
    return spots_.size() - 1;
  }
  // Goes on with what leads from the call through the columns so far.
  size_t add_lane(const std::string& name) {
    Spot spot;
    spot.from.push_back(end_of(name));
    spots_.push_back(std::move(spot));
    ends_.emplace_back(name, spots_.size() - 1);
    return spots_.size() - 1;
  }
  void connect(size_t spot) {
    for (const std::string& name : spots_[spot].call->waits_for) spots_[spot].from.push_back(end_of(name));
  }
  // The last stage that needs the call.
  size_t last_use(const std::string& name) const {
    size_t last = 0;
    for (const Outline::Call& call : outline_.calls)
      if (std::ranges::find(call.waits_for, name) != call.waits_for.end()) last = std::max(last, call.stage);
    return last;
  }
  // Where the call's result has got to in the columns that are placed.
  size_t end_of(const std::string& name) const {
    for (size_t i = ends_.size(); i > 0; --i)
      if (ends_[i - 1].first == name) return ends_[i - 1].second;
    return 0;
  }
  int pull(const Spot& spot) const {
    int sum = 0;
    for (size_t from : spot.from) sum += spots_[from].middle();
    return spot.from.empty() ? 0 : sum / static_cast<int>(spot.from.size());
  }

  void place(Column& column) {
    int letters = letters_min;
    for (size_t i : column.spots) {
      const Spot& spot = spots_[i];
      if (spot.call == nullptr) continue;
      letters = std::max(letters, width_of(spot.call->name) + width_of(spot.call->timeout) + 3);
      for (const Line& line : spot.lines) letters = std::max(letters, width_of(line.text));
    }
    letters = std::min(letters, letters_max);
    int y = top_ + 58;
    for (size_t i : column.spots) {
      Spot& spot = spots_[i];
      spot.x = column.x;
      spot.y = y;
      spot.letters = letters;
      spot.width = letters * letter / 10 + 2 * padding + 8;
      y += spot.height + gap_down;
      right_ = std::max(right_, spot.x + spot.width);
      if (spot.call != nullptr) ends_.emplace_back(spot.call->name, i);
    }
    bottom_ = std::max(bottom_, y - gap_down);
  }

  static void text(std::string& to, int x, int y, std::string_view look, std::string_view words) {
    to += "<text x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y) + "\"";
    if (!look.empty()) to.append(" class=\"").append(look).append("\"");
    to += ">" + escaped(words) + "</text>\n";
  }

  void arrows(std::string& to, size_t index) const {
    const Spot& spot = spots_[index];
    for (size_t i = 0; i < spot.from.size(); ++i) {
      const Spot& from = spots_[spot.from[i]];
      int x = from.x + from.width, y = from.middle();
      int end = spot.call != nullptr ? spot.x - 7 : spot.x;
      int in = spot.y + spot.height * static_cast<int>(i + 1) / static_cast<int>(spot.from.size() + 1);
      int bend = (x + end) / 2;
      to += "<path class=\"arrow\" d=\"M" + std::to_string(x) + " " + std::to_string(y) + " C" + std::to_string(bend) + " " +
            std::to_string(y) + " " + std::to_string(bend) + " " + std::to_string(in) + " " + std::to_string(end) + " " +
            std::to_string(in);
      if (spot.call == nullptr) to += " H" + std::to_string(spot.x + spot.width);
      to += "\"/>\n";
      if (spot.call == nullptr) continue;
      to += "<path class=\"head\" d=\"M" + std::to_string(spot.x) + " " + std::to_string(in) + " l-9 -4.5 v9 z\"/>\n";
    }
  }

  static void box(std::string& to, const Spot& spot) {
    const Outline::Call& call = *spot.call;
    to += call.stage == 0 ? "<g class=\"unused\">\n" : "<g>\n";
    to += "<title>" + escaped(whole(spot)) + "</title>\n";
    std::string size = " y=\"" + std::to_string(spot.y) + "\" height=\"" + std::to_string(spot.height) + "\"";
    to += "<rect class=\"box\" x=\"" + std::to_string(spot.x) + "\"" + size + " width=\"" + std::to_string(spot.width) + "\" rx=\"5\"/>\n";
    if (call.stage != 0 && call.may_fail)
      to += "<rect class=\"mark\" x=\"" + std::to_string(spot.x) + "\"" + size + " width=\"4\" rx=\"2\"/>\n";
    int x = spot.x + padding + 4;
    int y = spot.y + padding + 11;
    text(to, x, y, "name", cut(call.name, spot.letters - width_of(call.timeout) - 1));
    text(to, spot.x + spot.width - padding, y, "muted end", call.timeout);
    for (const Line& line : spot.lines) text(to, x, y += line_height, line.look, cut(line.text, spot.letters));
    to += "</g>\n";
  }
  // All of it, for who points there and for who cannot see it.
  static std::string whole(const Spot& spot) {
    std::string all = spot.call->name + ", " + spot.call->timeout;
    for (const Line& line : spot.lines) all += ", " + line.text;
    for (const std::string& name : spot.call->waits_for) all += ", needs " + name;
    return all;
  }

  const Outline& outline_;
  int top_;
  int right_ = margin;
  int bottom_ = 0;
  std::vector<Spot> spots_;
  std::vector<Column> columns_;
  std::vector<std::pair<std::string, size_t>> ends_;
};

}  // namespace

std::string drawing_of(const std::string& title, const std::vector<Outline>& outlines) {
  std::string inside;
  int width = 0;
  int top = margin;
  for (const Outline& outline : outlines) {
    Panel panel(outline, top);
    panel.draw(inside);
    width = std::max(width, panel.right());
    top = panel.bottom() + 2 * margin;
  }
  std::string w = std::to_string(width + margin), h = std::to_string(top - margin);
  std::string all = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + w + "\" height=\"" + h + "\" viewBox=\"0 0 " + w + " " + h +
                    "\" role=\"img\">\n<title>" + escaped(title) + "</title>\n";
  all += style;
  all += "<rect class=\"page\" width=\"100%\" height=\"100%\" rx=\"6\"/>\n";
  return all + inside + "</svg>\n";
}

}  // namespace portloom::compose
