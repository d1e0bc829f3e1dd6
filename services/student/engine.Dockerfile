FROM vllm/vllm-openai:v0.26.0
ENV HOME=/models/.home LOGNAME=askback ASKBACK_HOST=0.0.0.0 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
WORKDIR /app
COPY askback askback
COPY services/*.py services/
COPY services/student services/student
RUN install -d -m 0777 /models /gpu
USER 10001
ENTRYPOINT []
CMD ["python3", "-m", "services.with_secrets", "services.student.engine_command"]
