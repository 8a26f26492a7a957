// Messages as nodes. What comes from the server is only ever put in as text (textContent), never as markup.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (name === "class") node.className = value;
    else if (value !== undefined && value !== false) node.setAttribute(name, value);
  }
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}

export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

function safeLink(url) {
  try {
    const parsed = new URL(url);
    return ["http:", "https:"].includes(parsed.protocol) ? parsed.href : null;
  } catch { return null; }
}

function dress(entity, text, onCommand) {
  switch (entity.type) {
    case "bold": return el("b");
    case "italic": return el("i");
    case "underline": return el("u");
    case "strikethrough": return el("s");
    case "code": return el("code");
    case "blockquote": case "expandable_blockquote": return el("blockquote");
    case "spoiler": return el("span", { class: "spoiler", onclick: (e) => e.currentTarget.classList.add("open") });
    case "bot_command": return el("button", { class: "command", type: "button", onclick: () => onCommand(text) });
    case "text_link": case "url": {
      const href = safeLink(entity.type === "url" ? text : entity.url);
      return href === null ? el("span") : el("a", { href, target: "_blank", rel: "noopener noreferrer" });
    }
    default: return el("span");
  }
}

function block(text, language) {
  const copy = el("button", { class: "copy", type: "button", onclick: async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  } }, "Copy");
  return el("span", { class: language ? "block named" : "block" },
    language ? el("small", {}, language) : null, el("pre", {}, text), copy);
}

// Entities are sorted, parents first; one that crosses its parent's end is cut there.
function fillIn(node, text, entities, from, to, onCommand) {
  let at = from;
  for (let i = 0; i < entities.length; i++) {
    const start = Math.max(entities[i].offset, at);
    const end = Math.min(entities[i].offset + entities[i].length, to);
    if (start >= end) continue;
    node.append(text.slice(at, start));
    const part = text.slice(start, end);
    if (entities[i].type === "pre") node.append(block(part.replace(/\n$/, ""), entities[i].language));
    else {
      const inner = entities.slice(i + 1).filter((e) => e.offset < end);
      node.append(fillIn(dress(entities[i], part, onCommand), text, inner, start, end, onCommand));
    }
    at = end;
    // A block has its own lines around it: one line break more would show as an empty line.
    if (["pre", "blockquote", "expandable_blockquote"].includes(entities[i].type) && text[at] === "\n") at++;
  }
  node.append(text.slice(at, to));
  return node;
}

/** The text of a message with its entities, and room at its end for what stands in the bubble's corner. */
export function words(message, corner, onCommand) {
  const node = fillIn(el("div", { class: "words" }), message.text, message.entities ?? [], 0, message.text.length, onCommand);
  node.append(el("span", { class: "room", "aria-hidden": "true" }, corner));
  return node;
}
