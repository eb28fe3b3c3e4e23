"use strict";
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const data = (id) => JSON.parse(one("#" + id).textContent);
  const make = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const words = (value, places) => {
    const text = places === "" ? value.toExponential(2) : value.toFixed(Number(places));
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
  };

  // The table: what a row shows for one subject, which rows and columns are seen, in which order.
  function table() {
    const numbers = data("numbers");
    const filters = one("#filters");
    const lines = all("#scores tr[data-line]");
    const headings = all("#scores thead th[data-column]");
    const body = one("#scores tbody.method");
    const order = body ? all("tr[data-line]", body) : [];
    for (const line of lines)
      for (const cell of all("td[data-column]", line)) cell.dataset.words = cell.textContent;

    function show(line, subject) {
      for (const cell of all("td[data-column]", line)) {
        const value = numbers[line.dataset.line][cell.dataset.column][subject];
        const places = headings[cell.dataset.column].dataset.places;
        cell.textContent = !subject ? cell.dataset.words : value === undefined ? "–" : words(value, places);
        cell.dataset.value = subject ? (value ?? "") : (cell.dataset.mean ?? "");
        if (cell.classList.contains("best") || cell.dataset.best) {
          cell.dataset.best = "1";
          cell.classList.toggle("best", !subject);
        }
      }
      const n = one("td[data-n]", line);
      n.textContent = subject ? 1 : n.dataset.n;
    }

    function filter() {
      const chosen = Object.fromEntries(new FormData(filters));
      for (const line of lines) {
        const pinned = !line.closest("tbody.method");
        const { experiment, method, shots } = line.dataset;
        line.hidden =
          Boolean(chosen.experiment && chosen.experiment !== experiment) ||
          (!pinned && Boolean(chosen.method && chosen.method !== method)) ||
          (!pinned && Boolean(chosen.shots && shots && chosen.shots !== shots));
        show(line, chosen.subject);
      }
      one("#nothing").hidden = order.length === 0 || order.some((line) => !line.hidden);
      sort();
    }

    function sort() {
      const heading = one("#scores thead th[aria-sort]");
      if (!body) return;
      const by = heading && one("button", heading).dataset.sort;
      const sign = heading && heading.getAttribute("aria-sort") === "ascending" ? 1 : -1;
      const key = (line) => {
        if (by === "title") return one("th", line).textContent;
        if (by === "shots") return line.dataset.shots === "all" ? 1e9 : Number(line.dataset.shots || 0);
        const value = one(`td[data-column="${by}"]`, line).dataset.value;
        return value === "" ? null : Number(value);
      };
      const sorted = !heading ? order : [...order].sort((first, second) => {
        const [a, b] = [key(first), key(second)];
        if (a === null || b === null) return (a === null) - (b === null); // empty cells stay last
        return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
      });
      body.append(...sorted);
    }

    function turn(heading) {
      const lower = heading.dataset.direction !== "higher";
      const turns = lower ? ["ascending", "descending", null] : ["descending", "ascending", null];
      const next = turns[(turns.indexOf(heading.getAttribute("aria-sort")) + 1) % 3];
      for (const other of all("#scores thead th")) other.removeAttribute("aria-sort");
      if (next) heading.setAttribute("aria-sort", next);
      sort();
    }

    filters.addEventListener("change", (event) => {
      const column = event.target.dataset.shows;
      if (column === undefined) return filter();
      for (const cell of all(`#scores [data-column="${column}"]`)) cell.hidden = !event.target.checked;
    });
    filters.addEventListener("submit", (event) => event.preventDefault());
    for (const button of all("#scores thead button"))
      button.addEventListener("click", () => turn(button.closest("th")));
    filters.reset();
    filter();
  }

  // Figures: the words of a mark, at once and by touch.
  function tips() {
    const box = one("#tip");
    for (const mark of all(".tip")) {
      const title = one("title", mark);
      mark.dataset.words = title.textContent;
      title.remove();
    }
    const distance = (mark, { clientX, clientY }) => {
      const { left, right, top, bottom } = mark.getBoundingClientRect();
      const across = mark.tagName === "line" ? 0 : (left + right) / 2 - clientX;
      return Math.hypot(across, (top + bottom) / 2 - clientY);
    };
    const show = (event) => {
      const under = event.target.closest?.(".tip")
        ? document.elementsFromPoint(event.clientX, event.clientY).filter((mark) => mark.classList.contains("tip"))
        : [];
      box.hidden = !under.length;
      if (!under.length) return;
      const far = new Map(under.map((mark) => [mark, distance(mark, event)]));
      const nearest = Math.min(...far.values());
      const told = under.filter((mark) => far.get(mark) <= nearest + 3).slice(0, 4); // marks on one spot: all
      box.textContent = told.map((mark) => mark.dataset.words).join("\n\n");
      const { width, height } = box.getBoundingClientRect();
      box.style.left = Math.max(4, Math.min(event.clientX + 12, innerWidth - width - 8)) + "px";
      box.style.top = (event.clientY + height + 24 > innerHeight ? event.clientY - height - 12 : event.clientY + 14) + "px";
    };
    document.addEventListener("pointermove", show);
    document.addEventListener("pointerdown", show);
    document.addEventListener("scroll", () => (box.hidden = true), { passive: true });
  }

  // Pictures: strips of one subject over its prompts, or of one prompt over all subjects.
  function explorer() {
    const { subjects, photos, strips, trials } = data("gallery");
    const uris = data("uris");
    const choice = one("#choice");
    const place = one("#explorer");
    const everyone = "*";
    const positions = new Map(); // strip → step, kept when another subject is chosen
    let shown = []; // cells of the strip that was clicked, for the arrows of the enlarged view

    const options = (select, pairs) => {
      const before = select.value;
      select.replaceChildren(...pairs.map(([value, text]) => Object.assign(make("option", "", text), { value })));
      if (pairs.some(([value]) => value === before)) select.value = before;
    };
    const trialOf = (step, subject) => trials[step.trials[subject]] || [];
    const prompts = (subject) => {
      const lists = strips.flatMap((strip) => strip.steps.map((step) => trialOf(step, subject)));
      return lists.reduce((longest, list) => (list.length > longest.length ? list : longest), []).map((p) => p.prompt);
    };

    function columns() {
      const { subject, prompt } = choice.elements;
      if (subject.value === everyone)
        return subjects.map((name) => ({ subject: name, index: Number(prompt.value || 0), caption: name }));
      return prompts(subject.value)
        .map((caption, index) => ({ subject: subject.value, index, caption }))
        .filter((column) => prompt.value === "" || Number(prompt.value) === column.index);
    }

    function cell(entry, title, subject) {
      const button = make("button", "cell");
      button.type = "button";
      const image = make("img");
      if (entry && entry.picture !== null) {
        image.src = uris[entry.picture];
        image.alt = `${title}: ${entry.prompt}`;
      } else {
        button.disabled = true;
        image.alt = "no picture";
      }
      button.append(image);
      button.entry = { entry, title, subject };
      return button;
    }

    function fill(strip, number, cells) {
      const step = strip.steps[positions.get(number)];
      cells.replaceChildren(...columns().map((column) => cell(trialOf(step, column.subject)[column.index], step.title, column.subject)));
    }

    function slider(strip, number, name, cells) {
      const output = make("output");
      const input = Object.assign(make("input"), { type: "range", min: 0, max: strip.steps.length - 1, step: 1, value: positions.get(number) });
      const say = () => {
        const label = strip.steps[positions.get(number)].label;
        output.textContent = label;
        input.setAttribute("aria-valuetext", label);
      };
      input.setAttribute("aria-label", `${strip.name}: ${strip.along}`);
      input.addEventListener("input", () => {
        positions.set(number, Number(input.value));
        say();
        fill(strip, number, cells);
      });
      say();
      const line = make("div", "quiet", strip.along + ": ");
      line.append(output);
      name.append(line, input);
    }

    function row(strip, number) {
      const line = make("div", "strip " + strip.role);
      const name = make("div", "name", strip.name);
      const several = new Set(strips.map((each) => each.experiment)).size > 1;
      name.append(make("div", "quiet", [several ? strip.experiment : "", strip.shots ? strip.shots + (strip.shots === "1" ? " shot" : " shots") : ""].filter(Boolean).join(", ")));
      const cells = make("div", "cells");
      if (!positions.has(number)) positions.set(number, Math.floor(strip.steps.length / 2));
      if (strip.steps.length > 1) slider(strip, number, name, cells);
      fill(strip, number, cells);
      line.append(name, cells);
      return line;
    }

    function draw() {
      const { subject, shots } = choice.elements;
      const wanted = subject.value === everyone ? subjects : [subject.value];
      const rows = strips
        .map((strip, number) => [strip, number])
        .filter(([strip]) => !strip.shots || !shots.value || strip.shots === shots.value)
        .filter(([strip]) => wanted.some((name) => strip.steps.some((step) => trialOf(step, name).length)));
      const captions = make("div", "captions");
      const cells = make("div", "cells");
      const shownColumns = columns();
      cells.append(...shownColumns.map((column) => make("span", "", column.caption)));
      captions.append(make("div", "name"), cells);
      place.classList.toggle("single", shownColumns.length === 1);
      place.replaceChildren(captions, ...rows.map(([strip, number]) => row(strip, number)));
      const held = subject.value === everyone ? [] : photos[subject.value] || [];
      one("#photos").replaceChildren(
        ...(held.length ? [make("span", "quiet", "photos of the subject")] : []),
        ...held.map((picture) => cell({ picture, prompt: "a photo of the subject", scores: {} }, subject.value, "")),
      );
    }

    function choose() {
      const { subject, prompt } = choice.elements;
      const name = subject.value === everyone ? subjects[0] : subject.value;
      const numbered = prompts(name).map((text, index) => [String(index), text]);
      options(prompt, subject.value === everyone ? numbered : [["", "all prompts"], ...numbered]);
      draw();
    }

    function enlarge(button) {
      const { entry, title, subject } = button.entry;
      one("#large").src = uris[entry.picture];
      one("#large").alt = `${title}: ${entry.prompt}`;
      const photo = (photos[subject] || [])[0];
      one("#beside").hidden = photo === undefined;
      if (photo !== undefined) Object.assign(one("#photo"), { src: uris[photo], alt: `a photo of ${subject}` });
      const scores = Object.entries(entry.scores).map(([name, value]) => `${name} ${words(value, 3)}`);
      one("#words").textContent = [title, entry.prompt, [...scores, entry.seed && `seed ${entry.seed}`].filter(Boolean).join(", ")].filter(Boolean).join("\n");
      shown = all(".cell:not(:disabled)", button.parentElement);
      one("#enlarged").current = button;
      if (!one("#enlarged").open) one("#enlarged").showModal();
    }
    const move = (by) => {
      const next = shown[shown.indexOf(one("#enlarged").current) + by];
      if (next) enlarge(next);
    };

    document.addEventListener("click", (event) => {
      const button = event.target.closest(".cell");
      if (button && button.entry) enlarge(button);
      const jump = event.target.closest("[data-pictures]");
      if (!jump) return;
      choice.elements.subject.value = jump.dataset.pictures;
      choose();
      one("#pictures").scrollIntoView();
    });
    one("#previous").addEventListener("click", () => move(-1));
    one("#next").addEventListener("click", () => move(1));
    one("#close").addEventListener("click", () => one("#enlarged").close());
    one("#enlarged").addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") move(-1);
      if (event.key === "ArrowRight") move(1);
    });
    one("#enlarged").addEventListener("click", (event) => event.target === event.currentTarget && event.currentTarget.close());

    const counts = [...new Set(strips.map((strip) => strip.shots).filter(Boolean))];
    options(choice.elements.subject, [...subjects.map((name) => [name, name]), ...(subjects.length > 1 ? [[everyone, "all subjects"]] : [])]);
    options(choice.elements.shots, [...counts.map((each) => [each, each]), ...(counts.length > 1 ? [["", "all"]] : [])]);
    choice.elements.shots.value = counts[counts.length - 1] || "";
    choice.addEventListener("change", choose);
    choice.addEventListener("submit", (event) => event.preventDefault());
    choose();
  }

  table();
  tips();
  if (one("#gallery")) explorer();
})();
